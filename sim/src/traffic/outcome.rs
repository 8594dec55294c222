//! What came of a simulation of traffic.

use std::time::Duration;

/// What one policy made of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The policy's name, with its main knob's value.
    pub policy: String,
    /// Requests of the trace.
    pub requests: u64,
    /// Requests whose first token came within the objective.
    pub within_slo: u64,
    /// Requests that were refused or never answered.
    pub failed: u64,
    /// Time from arrival to the first token.
    pub ttft: Quantiles,
    /// Time from arrival to the end.
    pub latency: Quantiles,
    /// Hours of replicas that were paid for, starting and draining ones among them.
    pub replica_hours: f64,
    /// How often another count of replicas was asked for.
    pub scale_events: u32,
    /// How often the count that is asked for turned from growing to shrinking, or back.
    pub direction_changes: u32,
    /// Length of the simulation.
    pub length: Duration,
    /// What there was, at regular moments.
    pub samples: Vec<Sample>,
}

impl Outcome {
    /// Share of requests that were answered within the objective, 0 to 1; 1 if nobody asked.
    #[must_use]
    pub fn attainment(&self) -> f64 {
        if self.requests == 0 {
            return 1.0;
        }
        // Counts of requests lie far below 2^52.
        self.within_slo as f64 / self.requests as f64
    }

    /// Direction changes an hour; 0 if no time passed.
    #[must_use]
    pub fn oscillation(&self) -> f64 {
        let hours = self.length.as_secs_f64() / 3600.0;
        if hours > 0.0 {
            f64::from(self.direction_changes) / hours
        } else {
            0.0
        }
    }
}

/// Quantiles of a time, over all requests that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// The median.
    pub p50: Duration,
    /// 95 of 100 are no longer than this.
    pub p95: Duration,
    /// 99 of 100 are no longer than this.
    pub p99: Duration,
}

impl Quantiles {
    /// Of these; zero if there are none.
    #[must_use]
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(rank).copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p95: at(95),
            p99: at(99),
        }
    }
}

/// What there was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Time since the simulation began.
    pub at: Duration,
    /// Replicas that were asked for.
    pub desired: u32,
    /// Replicas that were ready.
    pub ready: u32,
    /// Requests a second that came.
    pub demand: f64,
    /// 95th percentile of the time to the first token; `None` if no request had one lately.
    pub ttft_p95: Option<Duration>,
    /// Requests that waited, in queues and held.
    pub waiting: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_where_nothing_was_asked() {
        let nothing = Outcome::default();
        assert_eq!(nothing.attainment(), 1.0);
        assert_eq!(nothing.oscillation(), 0.0);
        let some = Outcome {
            requests: 8,
            within_slo: 6,
            direction_changes: 3,
            length: Duration::from_secs(7200),
            ..nothing
        };
        assert_eq!(some.attainment(), 0.75);
        assert_eq!(some.oscillation(), 1.5);
    }
}
