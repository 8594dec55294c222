//! The signals that a spec may set targets for, one file each. Each tells how far over its target
//! the replicas are, or how many would keep it.

mod concurrency;
mod kv_cache;
mod latency;
mod queue;
mod ttft;

use std::fmt;
use std::time::Duration;

use crate::load::{Flow, LoadSeen};
use crate::validate::Targets;

/// What is measured of a replica and can have a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is the field of its name in `spec.autoscaling.targets`.
pub enum Signal {
    QueueWaiting,
    TtftP95,
    LatencyP95,
    KvCacheUsage,
    Concurrency,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueWaiting => "queueWaiting",
            Self::TtftP95 => "ttftP95",
            Self::LatencyP95 => "latencyP95",
            Self::KvCacheUsage => "kvCacheUsage",
            Self::Concurrency => "concurrency",
        })
    }
}

/// One signal, its target and what it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Which.
    pub signal: Signal,
    /// Per replica; times in seconds, shares from 0 to 1.
    pub value: f64,
    /// In the same unit.
    pub target: f64,
}

impl Measured {
    /// How far the value is over the target; 1 is at the target.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.value / self.target
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signal,
            value,
            target,
        } = self;
        match signal {
            Signal::QueueWaiting | Signal::Concurrency => {
                write!(f, "{signal} is {value:.1} of {target} a replica")
            }
            Signal::TtftP95 | Signal::LatencyP95 => {
                write!(f, "{signal} is {value:.2}s of {target}s")
            }
            Signal::KvCacheUsage => write!(
                f,
                "{signal} is {:.0} % of {:.0} %",
                value * 100.0,
                target * 100.0
            ),
        }
    }
}

/// Signals that tell of trouble without telling how much capacity is missing: a queue and times grow
/// without bound at the edge of what a replica can do. Those that have a target and a value.
pub(super) fn strains(targets: &Targets, load: &LoadSeen) -> Vec<Measured> {
    let all = [
        queue::measure(targets, load),
        ttft::measure(targets, load),
        latency::measure(targets, load),
    ];
    all.into_iter().flatten().collect()
}

/// Signals that are in proportion to the load of a replica: the count that brings them to their
/// target follows from the value alone.
pub(super) fn shares(targets: &Targets, load: &LoadSeen) -> Vec<Measured> {
    let all = [
        kv_cache::measure(targets, load),
        concurrency::measure(targets, load),
    ];
    all.into_iter().flatten().collect()
}

/// A time of the last minute, or of the last seconds if that was better.
fn time(
    signal: Signal,
    target: Option<Duration>,
    load: &LoadSeen,
    of: fn(&Flow) -> Option<Duration>,
) -> Option<Measured> {
    let stable = of(&load.stable)?;
    let value = of(&load.recent).map_or(stable, |recent| recent.min(stable));
    Some(Measured {
        signal,
        value: value.as_secs_f64(),
        target: target?.as_secs_f64(),
    })
}
