//! The invariants of a decision. `cycle` runs this on every one and carries out none that breaks
//! a rule; the property tests run it on thousands.

mod projection;

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::{Action, Decision, after};
use crate::memory::Memory;
use crate::rollout::{self, places, progress};
use crate::snapshot::{Snapshot, Weights};
use crate::validate::{Replicas, TakeOver, Validated};
use projection::Projection;

/// A rule that a decision breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages tell each one.
pub enum Violation {
    #[error("weights of {total} over revisions, where 100 or none is possible")]
    WeightsSum { total: u32 },
    #[error("traffic moved to revision {revision}, which has no ready replica")]
    TrafficToNobody { revision: String },
    #[error("revision {revision} retired with a weight of {weight}")]
    RetiredWithTraffic { revision: String, weight: u32 },
    #[error("revision {revision} retired with requests in flight before its drain deadline")]
    RetiredUndrained { revision: String },
    #[error("ready replicas with traffic fall from {before} to {after}, below {floor}")]
    CapacityLost { before: u32, after: u32, floor: u32 },
    #[error("revision {revision} gets {replicas} replicas, outside {min} to {max}")]
    OutOfBounds {
        revision: String,
        replicas: u32,
        min: u32,
        max: u32,
    },
    #[error(
        "revision {revision} gets no replica with {waiting} requests waiting, idle for {} of {} s",
        seconds(*.idle),
        .idle_after.as_secs()
    )]
    AsleepTooSoon {
        revision: String,
        waiting: u64,
        /// `None` if it can't be told.
        idle: Option<Duration>,
        idle_after: Duration,
    },
    #[error(
        "revision {revision} shrinks from {from} to {to} replicas, of {ready} ready ones {told} having told their load"
    )]
    ShrunkBlind {
        revision: String,
        from: u32,
        to: u32,
        ready: u32,
        told: u32,
    },
    #[error("revision {revision} gets {weight} % of the traffic at a step of {allowed} %")]
    StepSkipped {
        revision: String,
        weight: u32,
        allowed: u32,
    },
    #[error("revision {revision} gets {weight} % of the traffic, and has not shown that it may")]
    TrafficUnproven { revision: String, weight: u32 },
    #[error("revision {revision} gets traffic, and its rollout failed")]
    FailedServes { revision: String },
    #[error("{action} of revision {revision} starts from what is not so")]
    StalePrecondition {
        action: &'static str,
        revision: String,
    },
}

/// Checks a decision against the world it was made for.
///
/// # Errors
/// Every rule that is broken.
pub fn check(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), Vec<Violation>> {
    let mut broken = Vec::new();
    let mut world = Projection::of(seen);
    for action in &decision.actions {
        bounds(spec, seen, memory, (&world, action), now, &mut broken);
        rest(spec, seen, action, &mut broken);
        shrinking(spec, seen, memory, action, &mut broken);
        world.apply(action, &mut broken);
        if let Action::Retire { revision } = action {
            drained(spec, seen, memory, revision, now, &mut broken);
        }
    }
    traffic(seen, &world.weights, &mut broken);
    steps(spec, seen, memory, &world.weights, &mut broken);
    capacity(spec, seen, memory, &world, now, &mut broken);
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken)
    }
}

fn seconds(idle: Option<Duration>) -> String {
    idle.map_or_else(|| "?".to_owned(), |idle| idle.as_secs().to_string())
}

/// A model that scales goes to no replica only when everyone who could know of a request has told
/// that none came for long. One that is there without replicas already may stay so.
fn rest(spec: &Validated, seen: &Snapshot, action: &Action, broken: &mut Vec<Violation>) {
    let Some(idle_after) = spec.replicas.idle_after() else {
        return;
    };
    let (Action::EnsureRevision {
        revision,
        replicas: 0,
        ..
    }
    | Action::Scale {
        revision, to: 0, ..
    }) = action
    else {
        return;
    };
    let told = seen.gateways.as_ref();
    let waiting = told.map_or(0, |gateways| gateways.waiting);
    let idle = seen.idle(revision);
    if waiting > 0 || idle.is_none_or(|idle| idle < idle_after) {
        broken.push(Violation::AsleepTooSoon {
            revision: revision.clone(),
            waiting,
            idle,
            idle_after,
        });
    }
}

/// A count that follows the load shrinks only by what every ready replica has told. That it is
/// brought below its most, or to rest, is another matter, and so is that one revision takes the places
/// of another: then the count of all is held.
fn shrinking(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    action: &Action,
    broken: &mut Vec<Violation>,
) {
    if places::held(seen, memory).is_some() {
        return;
    }
    let (Some(_), Replicas::Scaled { max, .. }) = (&spec.scaling, spec.replicas) else {
        return;
    };
    let Action::Scale { revision, from, to } = action else {
        return;
    };
    let there = seen.revisions.get(revision);
    let (ready, told) = there.map_or((0, 0), |there| {
        (
            there.ready,
            there.load.as_ref().map_or(0, |load| load.replicas),
        )
    });
    if *to > 0 && *to < (*from).min(max) && (told == 0 || told < ready) {
        broken.push(Violation::ShrunkBlind {
            revision: revision.clone(),
            from: *from,
            to: *to,
            ready,
            told,
        });
    }
}

/// Each revision's count is within the bounds. Beside another one that keeps the fewest and has
/// traffic, a revision may have fewer: it gets as much of the traffic as it can bear. Where one takes the
/// places of another, what they have together counts, see [`capacity`].
fn bounds(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    (world, action): (&Projection, &Action),
    now: Timestamp,
    broken: &mut Vec<Violation>,
) {
    let (revision, replicas) = match action {
        Action::EnsureRevision {
            revision, replicas, ..
        } => (revision, *replicas),
        Action::Scale { revision, to, .. } => (revision, *to),
        _ => return,
    };
    let (min, max) = spec.bounds(now);
    let keeps = |name: &String, weight: u32| {
        let desired = world.counts.get(name).map_or(0, |(desired, _)| *desired);
        name != revision && weight > 0 && desired >= min
    };
    let mut weights = world.weights.iter();
    let is_beside = replicas > 0 && weights.any(|(name, weight)| keeps(name, *weight));
    let is_part = replicas > 0 && places::in_place_now(spec, seen, memory).is_some();
    if replicas > max || (replicas < min && !is_beside && !is_part) {
        broken.push(Violation::OutOfBounds {
            revision: revision.clone(),
            replicas,
            min,
            max,
        });
    }
}

fn drained(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    revision: &str,
    now: Timestamp,
    broken: &mut Vec<Violation>,
) {
    let idle = seen
        .revisions
        .get(revision)
        .is_some_and(|there| there.in_flight == Some(0));
    let since = memory
        .revisions
        .get(revision)
        .and_then(|known| known.draining_since);
    let drain = progress::drain(spec, revision, memory);
    let overdue = since.is_some_and(|since| after(since, drain) <= now)
        // A drain time of zero is over as it begins.
        || drain.is_zero();
    if !idle && !overdue {
        broken.push(Violation::RetiredUndrained {
            revision: revision.to_owned(),
        });
    }
}

fn traffic(seen: &Snapshot, weights: &Weights, broken: &mut Vec<Violation>) {
    // What is found and left alone is no decision: replicas may all be down and traffic stays for
    // their return, or someone else set weights that the next moves will mend.
    if *weights == seen.weights {
        return;
    }
    let total = weights.values().copied().fold(0, u32::saturating_add);
    if total != 100 && !weights.is_empty() {
        broken.push(Violation::WeightsSum { total });
    }
    for (revision, weight) in weights {
        if *weight > 0
            && seen
                .revisions
                .get(revision)
                .is_none_or(|there| there.ready == 0)
        {
            broken.push(Violation::TrafficToNobody {
                revision: revision.clone(),
            });
        }
    }
}

/// The wanted revision gets no more of the traffic than its rollout has come to.
fn steps(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    weights: &Weights,
    broken: &mut Vec<Violation>,
) {
    let weight = weights.get(&spec.revision).copied().unwrap_or(0);
    let Some(rollout) = progress::of(spec, memory).filter(|_| weight > seen.weight(&spec.revision))
    else {
        return;
    };
    let revision = spec.revision.clone();
    if rollout.failed().is_some() && progress::rival(spec, seen, memory).is_some() {
        broken.push(Violation::FailedServes { revision });
        return;
    }
    let allowed = rollout::allowed(spec, seen, memory);
    if let Some(allowed) = allowed.filter(|allowed| weight > *allowed) {
        broken.push(Violation::StepSkipped {
            revision,
            weight,
            allowed,
        });
    } else if !rollout::is_earned(spec, seen, memory) {
        broken.push(Violation::TrafficUnproven { revision, weight });
    }
}

/// The revision with traffic that has most ready replicas has no fewer than it had, or than are
/// wanted, whichever is less; where one takes the places of another, all of them together have, but for the
/// one that is out. What a revision that failed has does not count. `recreate` is the strategy whose
/// point is to have none.
fn capacity(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    world: &Projection,
    now: Timestamp,
    broken: &mut Vec<Violation>,
) {
    if spec.rollout.strategy == TakeOver::Recreate {
        return;
    }
    let (least, _) = spec.bounds(now);
    let failed = progress::failed(memory);
    let goes_back = progress::fallback(spec, memory).is_some();
    let in_place = places::in_place_now(spec, seen, memory).filter(|_| !goes_back);
    let (before, after, out) = match in_place {
        Some(it) => (seen.bearing(failed), world.bearing(), it.budget(least).out),
        None => (seen.strongest(failed), world.strongest(), 0),
    };
    let floor = before.min(least.saturating_sub(out));
    if after < floor {
        broken.push(Violation::CapacityLost {
            before,
            after,
            floor,
        });
    }
}
