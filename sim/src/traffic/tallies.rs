//! What gateways count of revisions that share the traffic, and what befalls their requests.

use std::collections::BTreeMap;

use chandler_core::analysis::{Answered, Compared, Tally};
use chandler_core::traffic::Shadow;

use super::replica::{Job, Nanos};

/// How a revision answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// It takes so many times as long as others.
    pub slowness: f64,
    /// Share of its answers that are errors, 0 to 1.
    pub errors: f64,
    /// Share of its answers to prompts asked aside that are unlike others', 0 to 1.
    pub differs: f64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            slowness: 1.0,
            errors: 0.0,
            differs: 0.0,
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
    /// The prompts that are asked aside, and what they are behind their share, and the unlike answers behind theirs.
    aside: Option<Shadow>,
    owed_aside: [f64; 2],
}

impl Tallies {
    /// From now on these are the weights.
    pub(super) fn set(&mut self, weights: &BTreeMap<String, u32>, now: Nanos) {
        if self.weights != *weights {
            self.weights.clone_from(weights);
            self.renew(now);
        }
    }

    /// From now on these prompts are asked aside.
    pub(super) fn ask_aside(&mut self, shadow: Option<Shadow>, now: Nanos) {
        if self.aside != shadow {
            self.aside = shadow;
            self.renew(now);
        }
    }

    fn renew(&mut self, now: Nanos) {
        self.began = now;
        self.epoch += 1;
        let counted: Vec<&String> = match &self.aside {
            Some(aside) => vec![&aside.from, &aside.to],
            None if self.weights.len() > 1 => self.weights.keys().collect(),
            None => Vec::new(),
        };
        let counted = counted.into_iter();
        self.revisions = counted
            .map(|name| (name.clone(), Tally::default()))
            .collect();
    }

    /// A caller of a revision was answered: the prompt may be asked aside.
    fn pass_on(&mut self, revision: &str) {
        let Some(aside) = self.aside.as_ref().filter(|it| it.from == revision) else {
            return;
        };
        self.owed_aside[0] += f64::from(aside.share.percent) / 100.0;
        if self.owed_aside[0] < 1.0 {
            return;
        }
        self.owed_aside[0] -= 1.0;
        self.owed_aside[1] += self.manners.get(&aside.to).map_or(0.0, |it| it.differs);
        let differs = self.owed_aside[1] >= 1.0;
        if let Some(asked) = self.revisions.get_mut(&aside.from) {
            asked.answered += 1;
        }
        if let Some(alike) = self.revisions.get_mut(&aside.to) {
            if differs {
                self.owed_aside[1] -= 1.0;
                alike.fail();
            } else {
                alike.answered += 1;
            }
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
        } else if self.aside.is_some() {
            self.pass_on(revision);
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
        if self.aside.is_none()
            && let Some(tally) = self.of(revision, job)
        {
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
