//! What was measured of the requests to one revision.

use serde::{Deserialize, Serialize};

use super::bins::Bins;

/// Counts of one revision's requests that ended; of prompts that are asked aside, one that the canary answers as the
/// other does counts as answered, and any other as failed. One whose caller left, or who asked for what can't
/// be had (a status of 400 to 499), says nothing of the revision and is in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Requests that were answered whole.
    #[serde(default)]
    pub answered: u64,
    /// Requests that were not: a status of 500 and more, a replica lost, an answer that broke off.
    /// Such a request may have been answered by another replica then.
    #[serde(default)]
    pub failed: u64,
    /// Seconds until the answer's first token came, or all of it where it was not streamed.
    #[serde(default)]
    pub first_token: Bins,
    /// Seconds until all of the answer had come.
    #[serde(default)]
    pub latency: Bins,
    /// Seconds from one token of a streamed answer to the next, the mean of each answer.
    #[serde(default)]
    pub token_time: Bins,
}

/// One answered request, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered {
    /// Until its first token.
    pub first_token: f64,
    /// Until its end.
    pub latency: f64,
    /// From one token to the next; `None` if it was not streamed, or is too short to tell.
    pub token_time: Option<f64>,
}

impl Tally {
    /// Counts an answer.
    pub fn note(&mut self, answered: &Answered) {
        self.answered = self.answered.saturating_add(1);
        self.first_token.note(answered.first_token);
        self.latency.note(answered.latency);
        if let Some(seconds) = answered.token_time {
            self.token_time.note(seconds);
        }
    }

    /// Counts a request that was not answered.
    pub fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Requests that tell something.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answered.saturating_add(self.failed)
    }

    /// Share of them that failed; `None` of none.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        let requests = self.requests();
        (requests > 0).then(|| self.failed as f64 / requests as f64)
    }

    /// What was added since `earlier`, which this has grown from.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            failed: self.failed.saturating_sub(earlier.failed),
            first_token: self.first_token.since(&earlier.first_token),
            latency: self.latency.since(&earlier.latency),
            token_time: self.token_time.since(&earlier.token_time),
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.answered = self.answered.saturating_add(other.answered);
        self.failed = self.failed.saturating_add(other.failed);
        self.first_token.add(&other.first_token);
        self.latency.add(&other.latency);
        self.token_time.add(&other.token_time);
    }
}
