//! How many replicas are wanted. One file a policy; signals of running replicas come beside
//! them, one file each.

mod fixed;
mod zero;
#[cfg(test)]
mod zero_tests;

use std::time::Duration;

use crate::memory::Memory;
use crate::snapshot::Snapshot;
use crate::validate::{Replicas, Validated};
use crate::why::Why;

/// What is wanted of a revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Replicas that it shall have.
    pub(crate) replicas: u32,
    /// The reasons, where there is something to tell.
    pub(crate) why: Vec<Why>,
    /// How soon that may be another count though nothing is seen to change.
    pub(crate) look_after: Option<Duration>,
}

/// What is wanted of the revision that the spec asks for.
pub(crate) fn wanted(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Wanted {
    let (min, max, idle_after) = match spec.replicas {
        Replicas::Fixed(replicas) => {
            return Wanted {
                replicas,
                ..Wanted::default()
            };
        }
        Replicas::Scaled {
            min,
            max,
            idle_after,
        } => (min, max, idle_after),
    };
    let held = Wanted {
        replicas: fixed::held(min, max, seen),
        ..Wanted::default()
    };
    match idle_after {
        None => held.held(min, max),
        Some(idle_after) => match zero::judge(spec, idle_after, seen, memory) {
            zero::Verdict::Asleep(why) => Wanted {
                replicas: 0,
                why: vec![why],
                ..held
            },
            zero::Verdict::Woken(why) => Wanted {
                why: vec![why],
                ..held
            },
            zero::Verdict::Awake { why, look_after } => {
                let mut held = held.held(min, max);
                held.why.extend(why);
                Wanted { look_after, ..held }
            }
        },
    }
}

impl Wanted {
    /// Tells that the count does not follow the load.
    fn held(mut self, min: u32, max: u32) -> Self {
        let replicas = self.replicas;
        self.why.push(Why::HeldCount { replicas, min, max });
        self
    }
}
