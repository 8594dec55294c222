//! When to ask a store again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::error::SourceError;

/// Tries in a row that bring nothing.
const MAX_TRIES: u32 = 5;
/// Pause after the first failure; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A store that asks for more patience than this is left to the caller.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts failures in a row and pauses between tries.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Forgets earlier failures: a try brought something.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits until the next try, or gives the error back when there is none.
    pub(crate) async fn wait(&mut self, error: SourceError) -> Result<(), SourceError> {
        self.failures += 1;
        match self.pause(&error) {
            Some(pause) => {
                tracing::warn!(%error, failures = self.failures, ?pause, "asking the store again");
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    fn pause(&self, error: &SourceError) -> Option<Duration> {
        if !error.is_store_trouble() || self.failures >= MAX_TRIES {
            return None;
        }
        let asked = match error {
            SourceError::RateLimited { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let own = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.saturating_sub(1));
        (asked <= LONGEST_PAUSE).then(|| asked.max(jittered(own)))
    }
}

/// Tries until it succeeds, or trying again makes no sense.
pub(crate) async fn persist<'a, T>(
    attempt: impl Fn() -> BoxFuture<'a, Result<T, SourceError>>,
) -> Result<T, SourceError> {
    let mut backoff = Backoff::default();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => backoff.wait(error).await?,
        }
    }
}

/// Three quarters to five quarters of a pause, so that replicas that failed together don't
/// come back together.
fn jittered(pause: Duration) -> Duration {
    // A new RandomState has random keys, which saves a dependency on a generator.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let factor = 0.75 + random as f64 / 2048.0;
    pause.mul_f64(factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn limited(seconds: u64) -> SourceError {
        SourceError::RateLimited {
            what: "x".into(),
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    fn pause(failures: u32, error: &SourceError) -> Option<Duration> {
        Backoff { failures }.pause(error)
    }

    #[test]
    fn pauses_grow_and_end() {
        let error = SourceError::StoreFailed {
            what: "x".into(),
            status: 503,
        };
        for failures in 1..MAX_TRIES {
            let middle = FIRST_PAUSE * (1 << (failures - 1));
            let pause = pause(failures, &error).unwrap();
            assert!(
                pause >= middle * 3 / 4 && pause <= middle * 5 / 4,
                "{pause:?}"
            );
        }
        assert_eq!(pause(MAX_TRIES, &error), None);
    }

    #[test]
    fn a_store_that_asks_for_patience_gets_it_within_reason() {
        assert!(pause(1, &limited(20)).unwrap() >= Duration::from_secs(20));
        assert_eq!(pause(1, &limited(31)), None);
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        let error = SourceError::NotFound { what: "x".into() };
        assert_eq!(pause(1, &error), None);
    }
}
