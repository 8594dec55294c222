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
    /// Tokens of prompts that it reads a second; 0 where that is not known.
    pub prefill_rate: f64,
    /// Tokens that it writes a second, all sequences together; 0 where that is not known.
    pub decode_rate: f64,
}

/// Kept by an engine's thread, read by everybody.
#[derive(Debug, Default)]
pub struct Stats {
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Bits of an `f64`, as the next two.
    cache_usage: AtomicU64,
    prefill_rate: AtomicU64,
    decode_rate: AtomicU64,
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
    pub fn set_cache(&self, share: f64) {
        self.cache_usage.store(share.to_bits(), Ordering::Relaxed);
    }

    /// Tokens a second of prompts and of answers, where they are known.
    pub fn set_rates(&self, prefill: Option<f64>, decode: Option<f64>) {
        for (rate, kept) in [(prefill, &self.prefill_rate), (decode, &self.decode_rate)] {
            let rate = rate.unwrap_or_default();
            kept.store(rate.to_bits(), Ordering::Relaxed);
        }
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
        let float = |kept: &AtomicU64| f64::from_bits(kept.load(Ordering::Relaxed));
        EngineStats {
            running: self.running.load(Ordering::Relaxed),
            most_running: self.most_running.load(Ordering::Relaxed),
            waiting,
            waiting_tokens,
            cache_usage: float(&self.cache_usage),
            prefill_rate: float(&self.prefill_rate),
            decode_rate: float(&self.decode_rate),
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
        stats.set_cache(0.25);
        stats.set_rates(Some(99.5), None);
        let expected = EngineStats {
            running: 1,
            most_running: 8,
            waiting: 3,
            waiting_tokens: 40,
            cache_usage: 0.25,
            prefill_rate: 99.5,
            decode_rate: 0.0,
        };
        assert_eq!(stats.snapshot((3, 40)), expected);
    }
}
