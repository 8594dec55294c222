//! Traces: which requests came when. They are read from the public CSV form, and made longer,
//! denser or burstier by chance from a seed, so that the same seed gives the same trace.

mod parse;
mod shape;

use std::time::Duration;

pub use parse::{Fault, TraceError};
pub use shape::Bursts;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Time since the trace began.
    pub at: Duration,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens of its answer.
    pub generated_tokens: u32,
}

/// Requests in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The earliest first.
    pub requests: Vec<Request>,
    /// How long it lasts; no request comes later.
    pub length: Duration,
}

impl Trace {
    /// Puts requests in order; those of the same moment stay as they are given.
    fn ordered(mut requests: Vec<Request>, length: Duration) -> Self {
        requests.sort_by_key(|request| request.at);
        Self { requests, length }
    }

    /// Mean requests a second; 0 if no time passes.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.length.as_secs_f64();
        if seconds > 0.0 {
            self.requests.len() as f64 / seconds
        } else {
            0.0
        }
    }

    /// Mean tokens of a prompt and of an answer; 0 without requests.
    #[must_use]
    pub fn mean_tokens(&self) -> (f64, f64) {
        let count = self.requests.len().max(1) as f64;
        let mean = |of: fn(&Request) -> u32| {
            let sum: f64 = self.requests.iter().map(|it| f64::from(of(it))).sum();
            sum / count
        };
        (mean(|it| it.prompt_tokens), mean(|it| it.generated_tokens))
    }
}
