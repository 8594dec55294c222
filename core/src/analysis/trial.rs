//! One step's comparison while it goes on.

use super::check::{Bars, CheckSeen, Test, Verdict};
use super::question::Question;
use super::tally::Tally;

/// How likely a canary that keeps all limits is failed, in all steps of a rollout together.
const FALSE_ALARM: f64 = 0.01;
/// How likely a canary that does not keep a limit passes it at one step.
const MISS: f64 = 0.05;
/// Fewest requests of either revision in a block: of one alone nothing can be compared.
const BLOCK: u64 = 8;

/// What was seen of one step's requests. Both revisions' are counted from the same moment on.
#[derive(Clone, Debug)]
pub struct Trial {
    question: Question,
    /// All of the canary's and the other revision's so far.
    all: Pair,
    /// Those of them that are in no block yet.
    block: Pair,
    tests: Vec<Test>,
}

#[derive(Clone, Debug, Default)]
struct Pair {
    canary: Tally,
    stable: Tally,
}

/// What a comparison has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialSeen {
    /// The canary.
    pub revision: String,
    /// The revision that it is compared with.
    pub from: String,
    /// The step, from 1; 0 of prompts that were asked aside.
    pub step: u32,
    /// Requests of the canary that tell something.
    pub requests: u64,
    /// All checks that have a limit.
    pub checks: Vec<CheckSeen>,
}

impl Trial {
    /// A comparison without any request.
    #[must_use]
    pub fn new(question: Question) -> Self {
        let count = question.limits.checks().count().max(1) as f64;
        let steps = f64::from(question.steps.max(1));
        // Each check of each step may be the one that errs.
        let bars = Bars {
            pass: MISS.recip().ln(),
            fail: (steps * count / FALSE_ALARM).ln(),
        };
        let tests = question.limits.checks();
        let tests = tests.map(|(check, limit)| Test::new(check, limit, bars));
        Self {
            tests: tests.collect(),
            question,
            all: Pair::default(),
            block: Pair::default(),
        }
    }

    /// What it is to find out.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Takes note of requests that ended since the last time.
    pub fn note(&mut self, canary: &Tally, stable: &Tally) {
        self.block.canary.add(canary);
        self.block.stable.add(stable);
        let fewest = self
            .block
            .canary
            .requests()
            .min(self.block.stable.requests());
        if fewest < BLOCK {
            return;
        }
        let block = std::mem::take(&mut self.block);
        for test in &mut self.tests {
            test.note(&block.canary, &block.stable, &self.all.stable);
        }
        self.all.canary.add(&block.canary);
        self.all.stable.add(&block.stable);
        // What the first ones showed, while caches were cold, may be outweighed by then.
        if self.all.canary.requests() >= self.question.limits.min_requests {
            self.tests.iter_mut().for_each(Test::judge);
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn seen(&self) -> TrialSeen {
        let Pair { canary, stable } = &self.all;
        TrialSeen {
            revision: self.question.revision.clone(),
            from: self.question.from.clone(),
            step: self.question.step,
            requests: canary.requests(),
            checks: self
                .tests
                .iter()
                .map(|it| it.seen(canary, stable))
                .collect(),
        }
    }

    /// See [`TrialSeen::verdict`].
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.seen().verdict()
    }
}

impl TrialSeen {
    /// Failed if one check has, passed if all have.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdicts = self.checks.iter().map(|check| check.verdict);
        if verdicts.clone().any(|it| it == Verdict::Failed) {
            Verdict::Failed
        } else if verdicts.all(|it| it == Verdict::Passed) {
            Verdict::Passed
        } else {
            Verdict::Open
        }
    }
}
