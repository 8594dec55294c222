//! How far a rollout is, as status remembers it.

use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::status::{
    AnalysisStatus, AnswersStatus, RolloutEnd, RolloutPhase, RolloutStatus,
};
use jiff::Timestamp;

use super::places::{InPlace, Plan};
use crate::validate::Validated;

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutMemory {
    /// The revision that takes over.
    pub revision: String,
    /// The revision that it takes over from, and goes back to; `None` if there is none such.
    pub from: Option<String>,
    /// Where its replicas go; `None` while that is not chosen, and where there is nothing to choose.
    pub plan: Option<Plan>,
    /// What it does.
    pub stage: Stage,
    /// The step that it is at, from 1; 0 until the revision is ready for the first.
    pub step: u32,
    /// When that step began.
    pub step_began_at: Timestamp,
    /// When the weight of that step was seen to hold.
    pub held_since: Option<Timestamp>,
    /// When the rollout began.
    pub began_at: Timestamp,
    /// Hash of the policy that it follows.
    pub policy: String,
    /// What the traffic of the last step that ended was found to be.
    pub analysis: Option<AnalysisStatus>,
    /// What its answers were found to be.
    pub answers: Option<AnswersStatus>,
}

/// What a rollout does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It goes on by itself.
    Progressing,
    /// It waits for a person.
    Paused,
    /// The revision has, or had, all the traffic.
    Completed(End),
    /// The revision is not to have the traffic.
    Failed(End),
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl RolloutMemory {
    pub(super) fn new(spec: &Validated, from: Option<String>, now: Timestamp) -> Self {
        Self {
            revision: spec.revision.clone(),
            from,
            plan: None,
            stage: Stage::Progressing,
            step: 0,
            step_began_at: now,
            held_since: None,
            began_at: now,
            policy: spec.rollout.hash.clone(),
            analysis: None,
            answers: None,
        }
    }

    /// What status tells.
    #[must_use]
    pub fn from_status(status: &RolloutStatus) -> Self {
        let end = || {
            let end = status.end.as_ref().map(End::from_status);
            end.unwrap_or_else(|| End::new(status.step_began_at.0, "", String::new()))
        };
        Self {
            revision: status.revision.clone(),
            from: status.from.clone(),
            plan: status.plan.as_ref().map(Plan::from_status),
            stage: match status.phase {
                RolloutPhase::Progressing => Stage::Progressing,
                RolloutPhase::Paused => Stage::Paused,
                RolloutPhase::Completed => Stage::Completed(end()),
                RolloutPhase::Held | RolloutPhase::RolledBack => Stage::Failed(end()),
            },
            step: u32::try_from(status.step).unwrap_or(0),
            step_began_at: status.step_began_at.0,
            held_since: status.held_since.as_ref().map(|time| time.0),
            began_at: status.began_at.0,
            policy: status.policy.clone(),
            analysis: status.analysis.clone(),
            answers: status.answers.clone(),
        }
    }

    /// Whether it has neither gone through nor failed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Progressing | Stage::Paused)
    }

    /// Whether it has gone through.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Completed(_))
    }

    /// How its replicas take the places of others, if they do.
    #[must_use]
    pub fn in_place(&self) -> Option<&InPlace> {
        self.plan.as_ref()?.in_place.as_ref()
    }

    /// How it failed, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<&End> {
        match &self.stage {
            Stage::Failed(end) => Some(end),
            _ => None,
        }
    }

    /// Goes to a step.
    pub(super) fn enter(&mut self, step: u32, now: Timestamp) {
        self.step = step;
        self.step_began_at = now;
        self.held_since = None;
    }
}

impl End {
    pub(super) fn new(at: Timestamp, reason: &str, message: String) -> Self {
        Self {
            at,
            reason: reason.to_owned(),
            message,
        }
    }

    /// What status tells.
    #[must_use]
    pub fn from_status(status: &RolloutEnd) -> Self {
        Self::new(status.at.0, &status.reason, status.message.clone())
    }

    /// As status tells it.
    #[must_use]
    pub fn to_status(&self) -> RolloutEnd {
        RolloutEnd {
            at: MicroTime(self.at),
            reason: self.reason.clone(),
            message: self.message.clone(),
        }
    }
}
