//! What an engine is busy with, and how long a request takes it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Weight of the newest request in the mean service time: about the last ten count.
const NEWEST: f64 = 0.2;
/// Bounds of the advice: less than a second is no rest, more than two minutes no service.
const RETRY_BOUNDS: (f64, f64) = (1.0, 120.0);

/// An engine's load at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineStats {
    /// Requests being computed.
    pub running: usize,
    /// Most requests that are computed at a time; 0 if there is no such bound.
    pub most_running: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// Tokens of the prompts in the queue.
    pub waiting_tokens: usize,
    /// Used share of the key-value cache, 0 to 1.
    pub cache_usage: f64,
}

/// Kept by an engine's thread, read by everybody.
#[derive(Debug, Default)]
pub struct Stats {
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Bits of an `f64`.
    cache_usage: AtomicU64,
    mean_service: Mutex<Option<f64>>,
}

impl Stats {
    /// The number of requests being computed.
    pub fn set_running(&self, running: usize) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// The most requests that are computed at a time.
    pub fn set_most_running(&self, most: usize) {
        self.most_running.store(most, Ordering::Relaxed);
    }

    /// The used share of the key-value cache.
    pub fn set_cache(&self, used: usize, size: usize) {
        let share = used as f64 / size.max(1) as f64;
        self.cache_usage.store(share.to_bits(), Ordering::Relaxed);
    }

    /// Notes how long the engine was busy for one request.
    pub fn served(&self, took: Duration) {
        let took = took.as_secs_f64();
        let mut mean = self.lock_mean();
        *mean = Some(mean.map_or(took, |mean| mean + NEWEST * (took - mean)));
    }

    /// When half of `waiting` requests will be done, in whole seconds. Halfway, so that those
    /// who come back find room and the engine is not idle until they do.
    #[must_use]
    pub fn retry_after(&self, waiting: usize) -> Duration {
        let mean = self.lock_mean().unwrap_or_default();
        let seconds = mean * waiting as f64 / 2.0;
        let (least, most) = RETRY_BOUNDS;
        Duration::from_secs_f64(seconds.ceil().clamp(least, most))
    }

    /// The load, for a queue of so many requests and tokens.
    #[must_use]
    pub fn snapshot(&self, (waiting, waiting_tokens): (usize, usize)) -> EngineStats {
        EngineStats {
            running: self.running.load(Ordering::Relaxed),
            most_running: self.most_running.load(Ordering::Relaxed),
            waiting,
            waiting_tokens,
            cache_usage: f64::from_bits(self.cache_usage.load(Ordering::Relaxed)),
        }
    }

    fn lock_mean(&self) -> std::sync::MutexGuard<'_, Option<f64>> {
        self.mean_service
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_follows_the_measured_service_time() {
        let stats = Stats::default();
        assert_eq!(stats.retry_after(100), Duration::from_secs(1));
        stats.served(Duration::from_secs(2));
        assert_eq!(stats.retry_after(8), Duration::from_secs(8));
        stats.served(Duration::from_secs(7));
        assert_eq!(stats.retry_after(8), Duration::from_secs(12));
        assert_eq!(stats.retry_after(1000), Duration::from_secs(120));
    }

    #[test]
    fn the_snapshot_is_what_was_set() {
        let stats = Stats::default();
        stats.set_running(1);
        stats.set_most_running(8);
        stats.set_cache(512, 2048);
        let expected = EngineStats {
            running: 1,
            most_running: 8,
            waiting: 3,
            waiting_tokens: 40,
            cache_usage: 0.25,
        };
        assert_eq!(stats.snapshot((3, 40)), expected);
    }
}
