//! How many replicas a spec asks for, and how that follows the load.

use std::time::Duration;

use chandler_crds::spec::{Autoscaling, Behavior, ScalingLimit};

use super::{Invalid, unsigned};

/// How long no request may have come before a model rests, if the spec doesn't say.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// Least of that: rest is told to the second.
const LEAST_IDLE_AFTER: Duration = Duration::from_secs(1);

/// Requests in a replica's queue that are kept to where a spec sets no target: one that waits while
/// another ends is no reason for a replica, and two are.
const QUEUE_WAITING: u32 = 2;

/// How many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// This many.
    Fixed(u32),
    /// Between these, by what they measure.
    Scaled {
        /// Fewest.
        min: u32,
        /// Most, at least 1.
        max: u32,
        /// Without a fewest: how long no request may have come before the model rests.
        idle_after: Option<Duration>,
    },
}

impl Replicas {
    /// How long no request may have come before there are none, of a model that may rest.
    #[must_use]
    pub fn idle_after(self) -> Option<Duration> {
        match self {
            Self::Fixed(_) => None,
            Self::Scaled { idle_after, .. } => idle_after,
        }
    }
}

/// How the count of replicas follows the load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    /// What is kept to.
    pub targets: Targets,
    /// Limits on the way up.
    pub up: Limit,
    /// Limits on the way down.
    pub down: Limit,
}

/// What each replica is kept at; the one that asks for most replicas decides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Targets {
    /// Requests in its queue.
    pub queue_waiting: Option<u32>,
    /// 95th percentile of the time to the first token.
    pub ttft_p95: Option<Duration>,
    /// 95th percentile of the whole request's time.
    pub latency_p95: Option<Duration>,
    /// Used share of the key-value cache, in percent.
    pub kv_cache_usage: Option<u32>,
    /// Requests in flight.
    pub concurrency: Option<u32>,
}

/// Limits in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// How long the wish must have held; `None` is at once on the way up, and leaves it to what a start
    /// takes on the way down.
    pub stabilization: Option<Duration>,
    /// Most replicas in one step.
    pub max_step: Option<u32>,
}

pub(super) fn replicas(
    fixed: Option<i32>,
    autoscaling: Option<&Autoscaling>,
    invalid: &mut Vec<Invalid>,
) -> Replicas {
    let mut count = |field, value: i32| {
        u32::try_from(value).unwrap_or_else(|_| {
            invalid.push(Invalid {
                field,
                message: format!("{value} is below 0: write 0 or more"),
            });
            0
        })
    };
    let Some(scaling) = autoscaling else {
        return Replicas::Fixed(count("spec.replicas", fixed.unwrap_or(1)));
    };
    let min = count(
        "spec.autoscaling.minReplicas",
        scaling.min_replicas.unwrap_or(1),
    );
    let max = count("spec.autoscaling.maxReplicas", scaling.max_replicas);
    let idle_after = idle_after(scaling, invalid);
    if scaling.max_replicas == 0 {
        invalid.push(Invalid {
            field: "spec.autoscaling.maxReplicas",
            message: "0 is below 1: write 1 or more, or replicas: 0 to stop the model".to_owned(),
        });
    }
    if min > max {
        let message = format!("{min} is above maxReplicas {max}: lower the one or raise the other");
        invalid.push(Invalid {
            field: "spec.autoscaling.minReplicas",
            message,
        });
    }
    Replicas::Scaled {
        min,
        max,
        idle_after: (min == 0).then_some(idle_after),
    }
}

fn idle_after(scaling: &Autoscaling, invalid: &mut Vec<Invalid>) -> Duration {
    let Some(told) = scaling.idle_after else {
        return IDLE_AFTER;
    };
    let length = unsigned(told); // A negative one is too short in any case.
    if length < LEAST_IDLE_AFTER {
        invalid.push(Invalid {
            field: "spec.autoscaling.idleAfter",
            message: format!("{told} is below 1s: write such as 5m"),
        });
    }
    length
}

/// What a spec says of following the load, with what it leaves open.
pub(super) fn scaling(asked: &Autoscaling, invalid: &mut Vec<Invalid>) -> Scaling {
    let nothing = Behavior::default();
    let behavior = asked.behavior.as_ref().unwrap_or(&nothing);
    Scaling {
        targets: targets(asked, invalid),
        up: limit(
            "spec.autoscaling.behavior.scaleUp.maxStep",
            behavior.scale_up.as_ref(),
            invalid,
        ),
        down: limit(
            "spec.autoscaling.behavior.scaleDown.maxStep",
            behavior.scale_down.as_ref(),
            invalid,
        ),
    }
}

fn targets(asked: &Autoscaling, invalid: &mut Vec<Invalid>) -> Targets {
    let told = asked.targets.clone().unwrap_or_default();
    let mut count = |field, value: Option<i32>| {
        let value = value?;
        let count = u32::try_from(value).ok().filter(|count| *count > 0);
        if count.is_none() {
            let message = format!("{value} is below 1: write 1 or more");
            invalid.push(Invalid { field, message });
        }
        count
    };
    let queue_waiting = count("spec.autoscaling.targets.queueWaiting", told.queue_waiting);
    let kv_cache_usage = count("spec.autoscaling.targets.kvCacheUsage", told.kv_cache_usage);
    let concurrency = count("spec.autoscaling.targets.concurrency", told.concurrency);
    let mut time = |field, value: Option<chandler_crds::Duration>| {
        let length = unsigned(value?);
        if length.is_zero() {
            let message = "is not above 0s: write such as 2s or 500ms".to_owned();
            invalid.push(Invalid { field, message });
        }
        Some(length)
    };
    let targets = Targets {
        queue_waiting,
        ttft_p95: time("spec.autoscaling.targets.ttftP95", told.ttft_p95),
        latency_p95: time("spec.autoscaling.targets.latencyP95", told.latency_p95),
        kv_cache_usage,
        concurrency,
    };
    if targets == Targets::default() {
        return Targets {
            queue_waiting: Some(QUEUE_WAITING),
            ..targets
        };
    }
    targets
}

fn limit(field: &'static str, asked: Option<&ScalingLimit>, invalid: &mut Vec<Invalid>) -> Limit {
    let Some(asked) = asked else {
        return Limit::default();
    };
    let max_step = asked.max_step.and_then(|step| {
        let count = u32::try_from(step).ok().filter(|count| *count > 0);
        if count.is_none() {
            let message = format!("{step} is below 1: write 1 or more");
            invalid.push(Invalid { field, message });
        }
        count
    });
    Limit {
        stabilization: asked.stabilization.map(unsigned),
        max_step,
    }
}
