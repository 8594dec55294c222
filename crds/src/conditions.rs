//! Typed conditions: the closed sets of types and reasons, and how they are set.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Type of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// This generation answers requests.
    Ready,
    /// Work towards the spec is under way (kstatus).
    Reconciling,
    /// Work towards the spec can't go on by itself (kstatus).
    Stalled,
    /// The source was resolved and its digests locked.
    ModelResolved,
    /// There is room for the replicas that are wanted.
    CapacityAvailable,
    /// The answers passed their evaluation.
    AnswersGood,
    /// The count follows the metrics.
    ScalingActive,
    /// Only callers with an API key may ask the model.
    AccessRestricted,
}

impl ConditionType {
    /// The form on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::ModelResolved => "ModelResolved",
            Self::CapacityAvailable => "CapacityAvailable",
            Self::AnswersGood => "AnswersGood",
            Self::ScalingActive => "ScalingActive",
            Self::AccessRestricted => "AccessRestricted",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known yet.
    Unknown,
}

impl Truth {
    /// The form on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Why a condition is what it is: a word for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This generation has answered a probe and has the traffic.
    Answering,
    /// Zero replicas are wanted.
    ScaledToZero,
    /// The spec is at rest: nothing is left to do.
    Settled,
    /// The source is being resolved.
    Resolving,
    /// The source was resolved.
    Resolved,
    /// Replicas are starting.
    Starting,
    /// Fewer replicas are ready than wanted.
    ReplicasMissing,
    /// A revision takes over or goes.
    RollingOut,
    /// `spec.paused` is true.
    Paused,
    /// The spec breaks a rule.
    InvalidSpec,
    /// The rollout made no progress within its deadline.
    ProgressDeadlineExceeded,
    /// No node has room for a replica.
    Unschedulable,
    /// A quota of the namespace leaves no room for a replica.
    QuotaExceeded,
    /// A decision broke an invariant and was not carried out.
    DecisionRefused,
    /// The count follows the load.
    Following,
    /// The replicas have not told their load: the count is held.
    LoadUnknown,
    /// No API key exists: everyone may ask.
    NoApiKey,
    /// Callers need an API key.
    KeysRequired,
    /// No gateway tells anything.
    GatewaysSilent,
    /// The answers are being judged.
    Evaluating,
    /// The answers passed.
    Evaluated,
    /// The answers did not pass.
    EvaluationFailed,
    /// The answers may be worse than they may be, or may not: there are too few to tell.
    EvaluationInconclusive,
    /// What another part reported, such as `WeightsTruncated`.
    Reported(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(reason) => f.write_str(reason),
            known => write!(f, "{known:?}"),
        }
    }
}

/// A condition before it meets the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedCondition {
    /// What it tells.
    pub kind: ConditionType,
    /// Whether it holds.
    pub truth: Truth,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// Puts `new` in the place of the conditions before. The transition time moves only where the
/// truth does; types that `new` does not speak of are dropped, since they no longer apply.
#[must_use]
pub fn merge(
    before: &[Condition],
    new: &[TypedCondition],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    new.iter()
        .map(|typed| {
            let since = before
                .iter()
                .find(|old| old.type_ == typed.kind.as_str() && old.status == typed.truth.as_str())
                .map_or(now, |old| &old.last_transition_time);
            Condition {
                type_: typed.kind.as_str().to_owned(),
                status: typed.truth.as_str().to_owned(),
                reason: typed.reason.to_string(),
                message: typed.message.clone(),
                observed_generation: generation,
                last_transition_time: since.clone(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).expect("in range"))
    }

    fn ready(truth: Truth) -> TypedCondition {
        TypedCondition {
            kind: ConditionType::Ready,
            truth,
            reason: Reason::Answering,
            message: String::new(),
        }
    }

    #[test]
    fn transition_time_moves_only_with_the_truth() {
        let first = merge(&[], &[ready(Truth::True)], Some(1), &time(10));
        let same = merge(&first, &[ready(Truth::True)], Some(2), &time(20));
        assert_eq!(same[0].last_transition_time, time(10));
        assert_eq!(same[0].observed_generation, Some(2));
        let flipped = merge(&same, &[ready(Truth::False)], Some(2), &time(30));
        assert_eq!(flipped[0].last_transition_time, time(30));
    }
}
