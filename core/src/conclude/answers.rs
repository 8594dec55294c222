//! The condition that tells what the answers of a new revision are worth.

use chandler_crds::conditions::{ConditionType, Reason, Truth, TypedCondition};
use chandler_crds::status::CheckVerdict;

use super::conditions::{Facts, condition};
use crate::rollout::{answers, progress};

impl Facts<'_> {
    /// Whether the answers passed, of a model whose answers are looked at and that takes over from another.
    pub(super) fn answers(&self) -> Option<TypedCondition> {
        let rollout = progress::of(self.spec, self.memory);
        let is_asked = !self.spec.rollout.evaluations.is_empty();
        rollout.filter(|it| is_asked && it.from.is_some())?;
        let worst = answers::worst(self.spec, self.memory);
        let (truth, reason) = match worst {
            None => (Truth::Unknown, Reason::Evaluating),
            Some(CheckVerdict::Passed) => (Truth::True, Reason::Evaluated),
            Some(CheckVerdict::Failed) => (Truth::False, Reason::EvaluationFailed),
            Some(CheckVerdict::Inconclusive) => (Truth::Unknown, Reason::EvaluationInconclusive),
        };
        let message = match worst {
            None => format!(
                "the answers of revision {} were not judged",
                self.spec.revision
            ),
            Some(worst) => answers::tell(self.spec, self.memory, &[worst]),
        };
        Some(condition(
            ConditionType::AnswersGood,
            truth,
            reason,
            &message,
        ))
    }
}
