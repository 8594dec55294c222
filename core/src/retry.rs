//! When to try again: exponential backoff with jitter, as arithmetic. The clock and the dice are
//! arguments.

use std::time::Duration;

/// A backoff: `base · factor^(attempt − 1)`, at most `max`, spread by ± `jitter` of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub base: Duration,
    /// Growth from one failure to the next.
    pub factor: f64,
    /// Never longer than this, before jitter.
    pub max: Duration,
    /// Spread as a share of the delay, 0 to 1.
    pub jitter: f64,
}

/// Restart of a worker that ended: the kubelet's 10 s doubling is slow for a laptop, its cap of
/// 5 minutes is right for both.
pub const RESTART: Backoff = Backoff {
    base: Duration::from_millis(500),
    factor: 2.0,
    max: Duration::from_secs(300),
    jitter: 0.1,
};

/// Resolving a source again after a failure.
pub const RESOLVE: Backoff = Backoff {
    base: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_secs(120),
    jitter: 0.1,
};

/// Asking a revision again for its first answer.
pub const PROBE: Backoff = Backoff {
    base: Duration::from_millis(500),
    factor: 2.0,
    max: Duration::from_secs(30),
    jitter: 0.1,
};

/// A worker that was ready for this long starts again with a clean record.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// A permanent failure waits as if it had failed this often at least.
const PERMANENT_ATTEMPTS: u32 = 4;

impl Backoff {
    /// Delay after `attempts` failures in a row. One that only a person can mend is still tried
    /// again, if not as soon: the mend may be outside the spec, such as a file put in its place.
    #[must_use]
    pub fn delay_after(&self, attempts: u32, transient: bool, seed: &str) -> Duration {
        let attempts = if transient {
            attempts
        } else {
            attempts.max(PERMANENT_ATTEMPTS)
        };
        self.delay(attempts, seed)
    }

    /// Delay after `attempt` failures in a row (1 for the first). `seed` picks the jitter, so that
    /// many objects which failed together do not come back together; the same seed gives the same
    /// delay. Zero attempts need no delay.
    #[must_use]
    pub fn delay(&self, attempt: u32, seed: &str) -> Duration {
        if attempt == 0 {
            return Duration::ZERO;
        }
        let exponent = f64::from((attempt - 1).min(64));
        let plain =
            (self.base.as_secs_f64() * self.factor.powf(exponent)).min(self.max.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * unit(seed, attempt) - 1.0);
        Duration::from_secs_f64((plain * spread).max(0.0))
    }
}

/// A number in [0, 1) from text, by FNV-1a and a final mix (Murmur3's finaliser).
fn unit(seed: &str, attempt: u32) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in seed.bytes().chain(attempt.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    // The top 53 bits fill a double's mantissa.
    #[allow(clippy::cast_precision_loss)]
    let top = (hash >> 11) as f64;
    top / 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grows_and_is_capped() {
        let flat = Backoff {
            jitter: 0.0,
            ..RESTART
        };
        assert_eq!(flat.delay(0, "x"), Duration::ZERO);
        assert_eq!(flat.delay(1, "x"), Duration::from_millis(500));
        assert_eq!(flat.delay(3, "x"), Duration::from_secs(2));
        assert_eq!(flat.delay(40, "x"), Duration::from_secs(300));
        assert_eq!(flat.delay(u32::MAX, "x"), Duration::from_secs(300));
    }

    #[test]
    fn seeds_spread() {
        let delays: std::collections::BTreeSet<_> = (0..100)
            .map(|i| RESTART.delay(1, &format!("replica-{i}")))
            .collect();
        assert!(delays.len() > 90);
    }

    proptest! {
        #[test]
        fn stays_within_jitter(attempt in 1u32.., seed in ".*") {
            let plain = Backoff { jitter: 0.0, ..PROBE }.delay(attempt, &seed).as_secs_f64();
            let spread = PROBE.delay(attempt, &seed).as_secs_f64();
            prop_assert!((spread - plain).abs() <= plain * PROBE.jitter + 1e-9);
        }
    }
}
