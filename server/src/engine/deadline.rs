//! When a request's answer is of no use any more.

use std::future::pending;
use std::time::{Duration, Instant};

/// The moment after which nobody waits for an answer, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No such moment.
    pub const NEVER: Self = Self(None);

    /// `time` from now; never, where that is further than a clock goes.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// Resolves once it has passed.
    pub async fn passed(&self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => pending().await,
        }
    }
}
