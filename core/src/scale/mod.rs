//! How many replicas are wanted.
//!
//! - [`follow`]: as many as the load needs, by [`signals`] and by what a replica is known to do.
//! - `zero`: none while nobody asks, and back.
//! - `schedule`: never fewer than a floor that holds now.
//! - `fixed`: as many as there are, where nothing can be told.

mod capacity;
mod demand;
mod fixed;
mod follow;
mod limits;
mod reach;
mod schedule;
mod signals;
mod zero;

#[cfg(test)]
mod capacity_tests;
#[cfg(test)]
mod demand_tests;
#[cfg(test)]
mod follow_properties;
#[cfg(test)]
mod follow_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod zero_tests;

use std::time::Duration;

use jiff::Timestamp;

use crate::memory::{Memory, RevisionMemory};
use crate::rollout::{self, places};
use crate::snapshot::Snapshot;
use crate::validate::{Replicas, Validated};
use crate::why::Why;

pub use capacity::Capacity;
pub use demand::Demand;
pub use follow::{Case, Followed, Remembered, follow};
pub use limits::Wished;
pub use signals::{Measured, Signal};

/// A start that was not measured yet takes about so long.
const START: Duration = Duration::from_secs(60);
/// Those who wait for a model at rest are to be served within this, once it is there.
const HERD_TIME: f64 = 60.0;

/// What is wanted of a revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Replicas that it shall have.
    pub(crate) replicas: u32,
    /// The reasons, where there is something to tell.
    pub(crate) why: Vec<Why>,
    /// How soon that may be another count though nothing is seen to change.
    pub(crate) look_after: Option<Duration>,
    /// To be remembered of the revision that bears the traffic, if that changes.
    pub(crate) remembered: Option<(String, Remembered)>,
}

/// What is wanted of the revision that the spec asks for.
pub(crate) fn wanted(spec: &Validated, seen: &Snapshot, memory: &Memory, now: Timestamp) -> Wanted {
    if let Replicas::Fixed(replicas) = spec.replicas {
        return Wanted {
            replicas,
            ..Wanted::default()
        };
    }
    let floor = spec.floor(now);
    let bounds = spec.bounds(now);
    let idle_after = spec.replicas.idle_after();
    let verdict = idle_after.map(|idle_after| zero::judge(spec, idle_after, seen, memory));
    let mut wanted = match verdict {
        Some(zero::Verdict::Woken { why, waiting }) => woken(spec, bounds, why, waiting, memory),
        Some(zero::Verdict::Asleep(why)) if floor.is_none() => Wanted {
            why: vec![why],
            ..Wanted::default()
        },
        Some(zero::Verdict::Awake { why, look_after }) if floor.is_none() => {
            let mut wanted = awake(spec, bounds, seen, memory, now);
            wanted.why.extend(why);
            wanted.look_soon(look_after);
            wanted
        }
        // Whether it could rest is no question while a floor holds.
        _ => awake(spec, bounds, seen, memory, now),
    };
    schedule::tell(spec, floor, now, &mut wanted);
    wanted
}

/// As many as serve those who wait for a model at rest.
fn woken(
    spec: &Validated,
    (min, max): (u32, u32),
    why: Why,
    waiting: u64,
    memory: &Memory,
) -> Wanted {
    Wanted {
        replicas: herd(spec, memory, waiting).clamp(min.max(1), max),
        why: vec![why],
        ..Wanted::default()
    }
}

/// The count of a model that has replicas, or needs its first.
fn awake(
    spec: &Validated,
    (min, max): (u32, u32),
    seen: &Snapshot,
    memory: &Memory,
    now: Timestamp,
) -> Wanted {
    if let Some(count) = places::held(seen, memory) {
        return Wanted::held(count.clamp(min.max(1), max.max(min)), min, max);
    }
    let held = fixed::held(min, max, seen);
    let rival = rollout::rival(spec, seen, memory);
    let bearer = rival.unwrap_or(&spec.revision);
    let there = seen.revisions.get(bearer);
    let (Some(scaling), Some(there)) = (&spec.scaling, there) else {
        return Wanted::held(held, min, max);
    };
    // While one revision takes over from another, what is there stays; what bears the traffic
    // meanwhile may grow.
    let is_alone = seen.revisions.len() == 1 || rival.is_some();
    if !is_alone || seen.weight(bearer) == 0 || there.desired == 0 {
        return Wanted::held(held, min, max);
    }
    let case = Case {
        scaling,
        // A model that may rest goes to no replica by another way than by its load.
        min: min.max(1),
        max,
        desired: there.desired,
        ready: there.ready,
        held: seen.gateways.as_ref().map_or(0, |told| told.waiting),
        load: there.load.as_ref(),
        trail: &seen.trail,
        start: start(memory.revisions.get(bearer)),
        moved_at: memory.scalings.last().map(|last| last.at.0),
        now,
    };
    let mut followed = follow(&case, &remembered(bearer, memory));
    let shrinks = |why: &Why| matches!(why, Why::MayShrink { .. } | Why::LoadLeaves { .. });
    if rival.is_some() && (followed.replicas < held || followed.why.iter().any(shrinks)) {
        followed.replicas = held;
        followed.why = vec![Why::HeldCount {
            replicas: held,
            min,
            max,
        }];
    }
    Wanted {
        replicas: followed.replicas,
        why: followed.why,
        look_after: followed.look_after,
        remembered: Some((bearer.to_owned(), followed.remembered)),
    }
}

fn remembered(revision: &str, memory: &Memory) -> Remembered {
    let known = memory.revisions.get(revision);
    Remembered {
        capacity: known.and_then(|known| known.capacity),
        lows: memory.lows.clone(),
        highs: memory.highs.clone(),
    }
}

/// How long a replica takes to start, as its first one did.
fn start(known: Option<&RevisionMemory>) -> Duration {
    let startup = known.and_then(|known| known.startup);
    startup.map_or(START, |startup| startup.total())
}

/// As many as serve all who wait in a short time, by what is known of a replica; one if nothing is.
fn herd(spec: &Validated, memory: &Memory, waiting: u64) -> u32 {
    let known = memory.revisions.get(&spec.revision);
    known
        .and_then(|known| known.capacity)
        .map_or(1, |capacity| {
            let replicas = waiting as f64 / (capacity.requests * HERD_TIME);
            // More than there can be ends at the bound.
            replicas.ceil().max(1.0) as u32
        })
}

impl Wanted {
    /// What there is, since nothing better can be told.
    fn held(replicas: u32, min: u32, max: u32) -> Self {
        Self {
            replicas,
            why: vec![Why::HeldCount { replicas, min, max }],
            ..Self::default()
        }
    }

    /// A look after `wait` at the latest, if there is one.
    fn look_soon(&mut self, wait: Option<Duration>) {
        self.look_after = self.look_after.into_iter().chain(wait).min();
    }
}
