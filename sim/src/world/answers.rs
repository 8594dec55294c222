//! What revisions answer to the questions of suites: each answer is worth one score, whatever is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_core::world::Outcome;
use chandler_crds::spec::Evaluation;
use chandler_crds::status::{CheckVerdict, EvaluationStatus};
use jiff::Timestamp;

use crate::clock::after;

/// From when answers are asked for until they are judged.
const TAKES: Duration = Duration::from_secs(20);
/// Questions of every suite.
const ITEMS: i32 = 100;

/// What answers are worth, and which are being judged.
#[derive(Debug, Default)]
pub(super) struct Answers {
    scores: BTreeMap<String, f64>,
    /// Whose answers beside whose and by what, and when that ends: told again until something else is asked, or the
    /// revision goes.
    asked: Option<([String; 2], Vec<Evaluation>, Timestamp)>,
}

impl Answers {
    /// What the answers of a revision are worth from now on; those of others are worth 1.
    pub(super) fn set(&mut self, revision: &str, score: f64) {
        self.scores.insert(revision.to_owned(), score);
    }

    /// A revision goes, and what was found of it.
    pub(super) fn forget(&mut self, revision: &str) {
        self.asked.take_if(|(of, ..)| of[0] == revision);
    }

    /// When those that are asked for are judged.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.asked.as_ref().map(|(.., at)| *at);
        at.filter(|at| *at > now)
    }

    /// Begins to judge, or tells what came of it.
    pub(super) fn judge(
        &mut self,
        of: [&str; 2],
        evaluations: &[Evaluation],
        now: Timestamp,
    ) -> Outcome {
        let of = of.map(str::to_owned);
        let asked = self.asked.as_ref();
        let asked = asked.filter(|(whose, by, _)| *whose == of && by == evaluations);
        let end = asked.map(|(.., at)| *at);
        if end.is_none() {
            self.asked = Some((of.clone(), evaluations.to_vec(), after(now, TAKES)));
        }
        if end.is_none_or(|end| end > now) {
            return Outcome::Pending { blocked: None };
        }
        let [canary, stable] = of.map(|name| self.scores.get(&name).copied().unwrap_or(1.0));
        let found = evaluations.iter().map(|asked| found(asked, canary, stable));
        Outcome::Evaluated(found.collect())
    }
}

fn found(asked: &Evaluation, canary: f64, stable: f64) -> EvaluationStatus {
    let is_low = asked.min.is_some_and(|min| canary < min);
    let is_worse = asked
        .max_regression
        .is_some_and(|most| stable - canary > most);
    EvaluationStatus {
        name: asked.name.clone(),
        metric: asked.metric,
        verdict: match is_low || is_worse {
            true => CheckVerdict::Failed,
            false => CheckVerdict::Passed,
        },
        items: ITEMS,
        canary,
        stable,
        low: None,
        high: None,
        digest: "0".repeat(12),
    }
}
