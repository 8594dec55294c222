//! What gateways count of revisions that share the traffic, and what befalls their requests.

use std::collections::BTreeMap;

use chandler_core::analysis::{Answered, Compared, Tally};

use super::replica::{Job, Nanos};

/// How a revision answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// It takes so many times as long as others.
    pub slowness: f64,
    /// Share of its answers that are errors, 0 to 1.
    pub errors: f64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            slowness: 1.0,
            errors: 0.0,
        }
    }
}

/// What is counted while the weights are the same.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    weights: BTreeMap<String, u32>,
    began: Nanos,
    epoch: u64,
    revisions: BTreeMap<String, Tally>,
    manners: BTreeMap<String, Manner>,
    /// What each revision is behind its share of errors.
    owed: BTreeMap<String, f64>,
}

impl Tallies {
    /// From now on these are the weights.
    pub(super) fn set(&mut self, weights: &BTreeMap<String, u32>, now: Nanos) {
        if self.weights != *weights {
            self.weights.clone_from(weights);
            self.began = now;
            self.epoch += 1;
            let shared = weights.keys().filter(|_| weights.len() > 1);
            self.revisions = shared
                .map(|name| (name.clone(), Tally::default()))
                .collect();
        }
    }

    /// How a revision answers from now on.
    pub(super) fn behave(&mut self, revision: &str, manner: Manner) {
        self.manners.insert(revision.to_owned(), manner);
    }

    pub(super) fn manner(&self, revision: &str) -> Manner {
        self.manners.get(revision).copied().unwrap_or_default()
    }

    /// An answer is whole, whose first token was written at `first`; gives whether it is no error.
    pub(super) fn answered(&mut self, revision: &str, job: &Job, first: Nanos, now: Nanos) -> bool {
        let owed = self.owed.entry(revision.to_owned()).or_default();
        *owed += self.manners.get(revision).map_or(0.0, |it| it.errors);
        let fails = *owed >= 1.0;
        if fails {
            *owed -= 1.0;
            self.lost(revision, job);
        } else if let Some(tally) = self.of(revision, job) {
            let seconds = |from: Nanos, to: Nanos| to.saturating_sub(from) as f64 / 1e9;
            let tokens = job.answer.saturating_sub(1);
            tally.note(&Answered {
                first_token: seconds(job.sent, first),
                latency: seconds(job.sent, now),
                token_time: (tokens > 0).then(|| seconds(first, now) / f64::from(tokens)),
            });
        }
        !fails
    }

    /// A request ended without an answer.
    pub(super) fn lost(&mut self, revision: &str, job: &Job) {
        if let Some(tally) = self.of(revision, job) {
            tally.fail();
        }
    }

    /// Where a request is counted. One that was sent by other weights is not: of those the long
    /// ones alone are still there.
    fn of(&mut self, revision: &str, job: &Job) -> Option<&mut Tally> {
        let tally = self.revisions.get_mut(revision);
        tally.filter(|_| job.sent >= self.began)
    }

    /// All that was counted.
    pub(super) fn told(&self) -> Compared {
        Compared {
            epoch: self.epoch.to_string(),
            revisions: self.revisions.clone(),
        }
    }
}
