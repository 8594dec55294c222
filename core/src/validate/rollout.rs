//! How a new revision takes over, out of the wire's `rollout`.

use std::time::Duration;

use chandler_crds::spec::{Analysis, Evaluation, OnFailure, Rollout, RolloutStep, Strategy};
use sha2::{Digest, Sha256};

use super::{Invalid, evaluation, shadow, unsigned};
use crate::analysis::Limits;
use crate::traffic::ShadowShare;

/// Time beyond its hold that a step has, if the spec doesn't say.
const DEFAULT_PROGRESS: Duration = Duration::from_secs(600);
/// Weights of a canary whose spec has none, and how long each is held.
const DEFAULT_STEPS: [(u32, Duration); 2] = [
    (10, Duration::from_secs(120)),
    (50, Duration::from_secs(120)),
];
/// Requests on a canary before a verdict, if the spec doesn't say.
pub(super) const DEFAULT_REQUESTS: u64 = 20;
/// The nearest to 1 that a highest ratio may be.
const LEAST_RATIO: f64 = 1.05;
/// All of the traffic, in percent.
const ALL: u32 = 100;
/// Hex digits of a policy's hash: two policies that follow each other must not meet, no more.
const HASH_DIGITS: usize = 10;

/// How a new revision takes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Order of the moves.
    pub strategy: TakeOver,
    /// Whether new replicas may take the places of old ones, should there be no room beside them.
    pub auto: bool,
    /// Weights before the last, in rising order; none if all the traffic moves as soon as it can.
    pub steps: Vec<Step>,
    /// What a canary's traffic is held to at each step; `None` if it is not looked at.
    pub analysis: Option<Limits>,
    /// What its answers must reach before it has any traffic.
    pub evaluations: Vec<Evaluation>,
    /// Live prompts that it is asked aside before that; `None` if it is asked none.
    pub shadow: Option<Aside>,
    /// What becomes of a revision that fails.
    pub on_failure: OnFailure,
    /// How long a step may take beyond its hold.
    pub progress_deadline: Duration,
    /// Stay at the step that is reached.
    pub paused: bool,
    /// The revision that takes all traffic without steps.
    pub promote: Option<String>,
    /// The revision that is taken back.
    pub abort: Option<String>,
    /// Stands for all that a revision is judged by: one that failed is tried again by another.
    pub hash: String,
}

/// Live prompts that both revisions are asked aside, and what the answers are held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aside {
    /// Which prompts, and which answers are alike.
    pub share: ShadowShare,
    /// How few answers may differ.
    pub limits: Limits,
}

/// One step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its weight, percent.
    pub weight: u32,
    /// How long it stays.
    pub hold: Duration,
}

/// The strategies that are built; the wire's `auto` is decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Traffic by weight in steps.
    Canary,
    /// New beside old, then all traffic at once.
    BlueGreen,
    /// New in the places of old, one after another.
    OneOutFirst,
    /// Old goes before new comes.
    Recreate,
}

impl TakeOver {
    /// Whether new replicas come beside the old ones.
    pub(crate) fn is_beside(self) -> bool {
        matches!(self, Self::Canary | Self::BlueGreen)
    }

    /// Whether traffic may go over in steps.
    fn may_step(self) -> bool {
        matches!(self, Self::Canary | Self::OneOutFirst)
    }
}

impl From<TakeOver> for Strategy {
    fn from(strategy: TakeOver) -> Self {
        match strategy {
            TakeOver::Canary => Self::Canary,
            TakeOver::BlueGreen => Self::BlueGreen,
            TakeOver::OneOutFirst => Self::OneOutFirst,
            TakeOver::Recreate => Self::Recreate,
        }
    }
}

impl Policy {
    /// The weight of a step, counted from 1; none before the first, and all after the last.
    #[must_use]
    pub fn weight(&self, step: u32) -> u32 {
        match step.checked_sub(1) {
            None => 0,
            Some(index) => self.step(index).map_or(ALL, |step| step.weight),
        }
    }

    /// How long a step is held, counted from 1; the last is not.
    #[must_use]
    pub fn hold(&self, step: u32) -> Duration {
        let index = step.checked_sub(1);
        let step = index.and_then(|index| self.step(index));
        step.map_or(Duration::ZERO, |step| step.hold)
    }

    /// The step that gives all the traffic.
    #[must_use]
    pub fn last_step(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// What the requests of a step are held to, counted from 1; those that are asked aside before the first, of step 0.
    #[must_use]
    pub fn limits(&self, step: u32) -> Option<Limits> {
        match step {
            0 => self.shadow.map(|aside| aside.limits),
            _ => self.analysis,
        }
    }

    fn step(&self, index: u32) -> Option<&Step> {
        self.steps.get(usize::try_from(index).ok()?)
    }
}

/// A gate that is asked for and can't be kept must not be waved through: it is refused.
pub(super) fn policy(rollout: Option<&Rollout>, invalid: &mut Vec<Invalid>) -> Policy {
    let nothing = Rollout::default();
    let rollout = rollout.unwrap_or(&nothing);
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let policy = Policy {
        strategy: strategy(rollout),
        auto: rollout.strategy.unwrap_or_default() == Strategy::Auto,
        steps: Vec::new(),
        analysis: None,
        evaluations: rollout.evaluation.clone().unwrap_or_default(),
        shadow: None,
        on_failure: rollout.on_failure.unwrap_or_default(),
        progress_deadline: progress_deadline(rollout, invalid),
        paused: rollout.paused.unwrap_or(false),
        promote: named(&rollout.promote),
        abort: named(&rollout.abort),
        hash: hash(rollout),
    };
    if policy.promote.is_some() && policy.promote == policy.abort {
        let message = "names the revision that abort names: remove one of the two";
        invalid.push(refused("spec.rollout.promote", message.to_owned()));
    }
    evaluation::check(policy.strategy, &policy.evaluations, invalid);
    Policy {
        steps: steps(policy.strategy, rollout, invalid),
        analysis: analysis(policy.strategy, rollout.analysis.as_ref(), invalid),
        shadow: shadow::aside(policy.strategy, rollout.shadow.as_ref(), invalid),
        ..policy
    }
}

pub(super) fn refused(field: &'static str, message: String) -> Invalid {
    Invalid { field, message }
}

/// `auto` is a canary where steps are written, or what it is held to, and all at once where neither
/// is.
fn strategy(rollout: &Rollout) -> TakeOver {
    match rollout.strategy.unwrap_or_default() {
        Strategy::Canary => TakeOver::Canary,
        Strategy::Auto if has_steps(rollout) => TakeOver::Canary,
        Strategy::Auto | Strategy::BlueGreen => TakeOver::BlueGreen,
        Strategy::Recreate => TakeOver::Recreate,
        Strategy::OneOutFirst => TakeOver::OneOutFirst,
    }
}

fn has_steps(rollout: &Rollout) -> bool {
    !rollout.steps.as_deref().unwrap_or_default().is_empty() || rollout.analysis.is_some()
}

fn steps(strategy: TakeOver, rollout: &Rollout, invalid: &mut Vec<Invalid>) -> Vec<Step> {
    const FIELD: &str = "spec.rollout.steps";
    let asked = rollout.steps.as_deref().unwrap_or_default();
    if strategy == TakeOver::OneOutFirst && !has_steps(rollout) {
        return Vec::new();
    }
    if !strategy.may_step() {
        if !asked.is_empty() {
            let strategy = Strategy::from(strategy);
            let message = format!(
                "are a canary's, and the strategy is {strategy}: remove them, or write strategy: canary"
            );
            invalid.push(refused(FIELD, message));
        }
        return Vec::new();
    }
    if asked.is_empty() {
        return DEFAULT_STEPS
            .map(|(weight, hold)| Step { weight, hold })
            .into();
    }
    let mut steps: Vec<Step> = asked.iter().map(step).collect();
    let risen = steps.windows(2).all(|pair| pair[0].weight < pair[1].weight);
    let possible = steps.iter().all(|step| (1..=ALL).contains(&step.weight));
    if !risen || !possible {
        let message = "must have weights that rise, each from 1 to 100, such as 10, 50";
        invalid.push(refused(FIELD, message.to_owned()));
    }
    // A last step of 100 is the end that every canary has.
    if let Some(last) = steps.pop_if(|last| last.weight == ALL)
        && !last.hold.is_zero()
    {
        let message = "can't hold 100 %, which ends the rollout: put the hold on the step before";
        invalid.push(refused(FIELD, message.to_owned()));
    }
    steps
}

/// What the traffic is held to. Only a canary has traffic to be compared.
fn analysis(
    strategy: TakeOver,
    asked: Option<&Analysis>,
    invalid: &mut Vec<Invalid>,
) -> Option<Limits> {
    const FIELD: &str = "spec.rollout.analysis";
    let asked = asked?;
    let mut refuse = |message: &str| invalid.push(refused(FIELD, message.to_owned()));
    if !strategy.may_step() {
        let strategy = Strategy::from(strategy);
        refuse(&format!(
            "is of a canary's traffic, and the strategy is {strategy}: remove it, or write strategy: canary"
        ));
    }
    let ratios = [asked.max_ttft_p95_ratio, asked.max_latency_p95_ratio];
    let is_share = |rate: &f64| *rate > 0.0 && *rate < 1.0;
    if !asked.max_error_rate.iter().all(is_share) {
        refuse("maxErrorRate is a share above 0 and below 1: write such as 0.01");
    }
    if !ratios
        .iter()
        .flatten()
        .all(|it| *it >= LEAST_RATIO && it.is_finite())
    {
        refuse("a highest ratio must be at least 1.05: write such as 1.2");
    }
    // Twice as many tokens a second are half the time from one to the next.
    let token_time = asked.min_tokens_per_second_ratio.map(f64::recip);
    if !token_time
        .iter()
        .all(|it| *it >= LEAST_RATIO && it.is_finite())
    {
        refuse("minTokensPerSecondRatio must be above 0 and at most 0.95: write such as 0.8");
    }
    let limits = Limits {
        error_rate: asked.max_error_rate,
        different: None,
        first_token: asked.max_ttft_p95_ratio,
        latency: asked.max_latency_p95_ratio,
        token_time,
        min_requests: asked.min_requests.map_or(DEFAULT_REQUESTS, |least| {
            u64::try_from(least).unwrap_or(1).max(1)
        }),
    };
    if limits.is_none() {
        refuse("needs a limit: write such as maxErrorRate: 0.01 and maxLatencyP95Ratio: 1.2");
    }
    Some(limits)
}

/// A weight below none is one that no step can have.
fn step(asked: &RolloutStep) -> Step {
    Step {
        weight: u32::try_from(asked.weight).unwrap_or(0),
        hold: asked.hold.map_or(Duration::ZERO, unsigned),
    }
}

fn progress_deadline(rollout: &Rollout, invalid: &mut Vec<Invalid>) -> Duration {
    let Some(asked) = rollout.progress_deadline else {
        return DEFAULT_PROGRESS;
    };
    let length = unsigned(asked);
    if length < Duration::from_secs(1) {
        let message = format!("{asked} is below 1s: write such as 10m");
        invalid.push(refused("spec.rollout.progressDeadline", message));
    }
    length
}

/// The first digits of the SHA-256 of all that judges a revision, as JSON.
fn hash(rollout: &Rollout) -> String {
    let judged = Rollout {
        paused: None,
        promote: None,
        abort: None,
        on_failure: None,
        ..rollout.clone()
    };
    // Plain data serialises; an empty text would still be a valid hash.
    let json = serde_json::to_string(&judged).unwrap_or_default();
    let mut hash = format!("{:x}", Sha256::digest(json));
    hash.truncate(HASH_DIGITS);
    hash
}
