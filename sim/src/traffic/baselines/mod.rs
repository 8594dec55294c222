//! Policies that others have published, each by its own rule, to be compared with.
//!
//! What they share is one simplification: a metric is what it is at the moment they ask, where
//! their own pipelines add the delay of a scrape or two. That is in their favour.

mod fixed;
mod hpa;
mod keda;
mod kpa;
mod kubeai;
mod named;

use std::time::Duration;

pub use fixed::Fixed;
pub use hpa::Hpa;
pub use keda::Keda;
pub use kpa::Kpa;
pub use kubeai::KubeAi;
pub use named::{Baseline, UnknownBaseline};

/// A controller's own period.
#[derive(Clone, Debug)]
struct Ticks {
    every: Duration,
    next: Duration,
}

impl Ticks {
    /// Due at once, then after each `every`.
    fn new(every: Duration) -> Self {
        Self {
            every,
            next: Duration::ZERO,
        }
    }

    /// Whether the time has come; if so, the next one is a period later.
    fn due(&mut self, now: Duration) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.every;
        }
        due
    }
}

/// A count of replicas, rounded up as all of these rules do. What is absurdly much is the most.
fn ceil(replicas: f64) -> u32 {
    // Casts saturate; a metric that is no number gives no replica.
    replicas.ceil() as u32
}

/// A policy as a test plays it: the fleet does as it is told, at once.
#[cfg(test)]
mod play {
    use chandler_core::load::{LoadSeen, Trail};

    use super::*;
    use crate::traffic::{Policy, Sight};

    /// What there is at a second.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Scene {
        pub(super) now: u64,
        pub(super) desired: u32,
        pub(super) ready: u32,
        pub(super) held: f64,
        pub(super) running: f64,
        pub(super) waiting: f64,
        /// Ready replicas that tell nothing; the others tell of all that runs and waits.
        pub(super) silent: u32,
    }

    impl Scene {
        pub(super) fn of(replicas: u32) -> Self {
            Self {
                desired: replicas,
                ready: replicas,
                ..Self::default()
            }
        }

        /// One look.
        pub(super) fn look(&self, policy: &mut dyn Policy) -> Option<u32> {
            self.see(|sight| policy.look(sight))
        }

        /// What a policy is shown. Where no replica tells anything, no scrape got through.
        pub(super) fn see<T>(&self, look: impl FnOnce(&Sight<'_>) -> T) -> T {
            let load = LoadSeen {
                replicas: self.ready.saturating_sub(self.silent),
                running: self.running,
                waiting: self.waiting,
                ..LoadSeen::default()
            };
            look(&Sight {
                now: Duration::from_secs(self.now),
                desired: self.desired,
                ready: self.ready,
                held: self.held,
                concurrency: self.running + self.waiting + self.held,
                queued: self.waiting + self.held,
                arrived: 0.0,
                load: Some(&load).filter(|load| load.replicas > 0),
                trail: &Trail::default(),
            })
        }

        /// Looks each second for `seconds`. What is decided is so in the next second. Gives every
        /// change with its moment.
        pub(super) fn play(&mut self, policy: &mut dyn Policy, seconds: u64) -> Vec<(u64, u32)> {
            let mut changes = Vec::new();
            for _ in 0..seconds {
                if let Some(count) = self.look(policy) {
                    (self.desired, self.ready) = (count, count);
                    changes.push((self.now, count));
                }
                self.now += 1;
            }
            changes
        }
    }
}
