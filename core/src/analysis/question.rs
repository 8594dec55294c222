//! What is to be found out, by spec and memory.

use super::check::Check;
use crate::memory::Memory;
use crate::rollout::{Stage, progress};
use crate::traffic::ShadowShare;
use crate::validate::Validated;

/// What a canary's traffic is held to. What has no limit is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Highest share of failed requests.
    pub error_rate: Option<f64>,
    /// Highest share of prompts, asked aside, that the canary answers otherwise or not at all.
    pub different: Option<f64>,
    /// Highest ratio of the canary's p95 time to the first token to the other revision's.
    pub first_token: Option<f64>,
    /// The same of the whole answer's time.
    pub latency: Option<f64>,
    /// The same of the time from one token to the next.
    pub token_time: Option<f64>,
    /// Fewest requests of the canary before a verdict.
    pub min_requests: u64,
}

/// The comparison of one step of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The canary.
    pub revision: String,
    /// The revision that it is compared with.
    pub from: String,
    /// The step, from 1; 0 of prompts that are asked aside.
    pub step: u32,
    /// How many steps of the rollout are compared.
    pub steps: u32,
    /// What it is held to.
    pub limits: Limits,
    /// Which prompts are asked aside, of step 0.
    pub aside: Option<ShadowShare>,
}

impl Limits {
    /// Whether nothing is held to anything.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.checks().next().is_none()
    }

    /// Each check with its limit.
    pub(super) fn checks(&self) -> impl Iterator<Item = (Check, f64)> + use<> {
        let limits = [
            (Check::ErrorRate, self.error_rate),
            (Check::Difference, self.different),
            (Check::FirstToken, self.first_token),
            (Check::Latency, self.latency),
            (Check::TokenTime, self.token_time),
        ];
        let limits = limits.into_iter();
        limits.filter_map(|(check, limit)| Some((check, limit?)))
    }
}

/// What is to be found out now; `None` while nothing is to be compared. A step whose weight does not
/// hold yet, or no more, is not.
#[must_use]
pub fn question(spec: &Validated, memory: &Memory) -> Option<Question> {
    let policy = &spec.rollout;
    let rollout = progress::of(spec, memory)?;
    let limits = policy.limits(rollout.step)?;
    let last = policy.last_step();
    let is_on = rollout.stage == Stage::Progressing && rollout.held_since.is_some();
    // Before all of the traffic there is somebody to compare with.
    let is_before = rollout.step < last;
    (is_on && is_before).then_some(Question {
        revision: rollout.revision.clone(),
        from: rollout.from.clone()?,
        step: rollout.step,
        steps: if rollout.step == 0 { 1 } else { last - 1 },
        limits,
        aside: policy
            .shadow
            .filter(|_| rollout.step == 0)
            .map(|it| it.share),
    })
}
