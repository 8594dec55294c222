//! How a revision takes over from another. One file a strategy; what they share is here.

pub(crate) mod answers;
mod blue_green;
mod canary;
mod memory;
mod one_out_first;
pub(crate) mod places;
pub(crate) mod progress;
mod recreate;
mod shadow;
mod traffic;

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::{self, Action, Decision, after};
use crate::memory::Memory;
use crate::retry;
use crate::snapshot::{Snapshot, Weights};
use crate::validate::{TakeOver, Validated};
use crate::why::Why;
use crate::worker::WorkerSpec;

pub(crate) use canary::replicas;
pub use memory::{End, RolloutMemory, Stage};
pub use places::{InPlace, Plan, asks_for_room};
pub(crate) use progress::rival;
pub use progress::{fallback, restored};

/// Soonest and latest look at a revision that drains, where nothing tells of its last request.
const DRAIN_LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Plans the next moves from what is there to `wanted` replicas of the wanted revision, whose
/// lock is known.
pub(crate) fn plan(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    match strategy(spec, &decision.memory) {
        TakeOver::Canary => canary::plan(spec, wanted, seen, now, decision),
        TakeOver::BlueGreen => blue_green::plan(spec, wanted, seen, now, decision),
        TakeOver::OneOutFirst => one_out_first::plan(spec, wanted, seen, now, decision),
        TakeOver::Recreate => recreate::plan(spec, wanted, seen, now, decision),
    }
}

/// The strategy that is followed: the spec's, or the one that was chosen for want of room.
pub(crate) fn strategy(spec: &Validated, memory: &Memory) -> TakeOver {
    match places::in_place(spec, memory) {
        Some(_) => TakeOver::OneOutFirst,
        None => spec.rollout.strategy,
    }
}

/// The most that the wanted revision may have of the traffic now; `None` if nothing holds it back.
pub(crate) fn allowed(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Option<u32> {
    match spec.rollout.strategy {
        TakeOver::Canary | TakeOver::OneOutFirst => canary::allowed(spec, seen, memory),
        TakeOver::BlueGreen | TakeOver::Recreate => None,
    }
}

/// Whether the answers, and of a canary the traffic of the step before, were found good, if they are looked at.
pub(crate) fn is_earned(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let is_shared = allowed(spec, seen, memory).is_some();
    let traffic = |rollout| !is_shared || traffic::is_earned(spec, rollout);
    is_proven(spec, seen, memory) && progress::of(spec, memory).is_none_or(traffic)
}

/// Whether the answers of a revision were found good, as far as they are looked at.
fn is_proven(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    answers::are_good(spec, seen, memory) && shadow::is_passed(spec, seen, memory)
}

/// The same, and has done what is still to be done for it.
fn proven(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) -> bool {
    answers::judged(spec, seen, now, decision) && shadow::shown(spec, seen, now, decision)
}

/// Makes the wanted revision exist with `wanted` replicas.
fn ensure(spec: &Validated, wanted: u32, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    let revision = spec.revision.clone();
    let Some(lock) = decision.memory.lock(&revision) else {
        return;
    };
    // A lock is long and most looks find nothing to do: rendered where it is used.
    let worker = || Box::new(spec.worker.spec(lock));
    match seen.revisions.get(&revision) {
        None => {
            let worker = worker();
            let why = Why::Create {
                revision: revision.clone(),
                replicas: wanted,
            };
            decision.act(
                Action::EnsureRevision {
                    revision,
                    worker,
                    replicas: wanted,
                },
                why,
            );
        }
        Some(there) => {
            if there.drifted {
                mend(&revision, worker(), decision);
            }
            if there.desired != wanted {
                resize(revision, there.desired, wanted, now, decision);
            }
        }
    }
}

/// What someone else changed is made again as it was.
fn mend(revision: &str, worker: Box<WorkerSpec>, decision: &mut Decision) {
    let revision = revision.to_owned();
    let why = Why::Mend {
        revision: revision.clone(),
    };
    decision.act(Action::Mend { revision, worker }, why);
}

fn resize(revision: String, from: u32, to: u32, now: Timestamp, decision: &mut Decision) {
    if from == 0 {
        wake_up(&revision, now, decision);
    }
    let why = Why::ScaleTo {
        revision: revision.clone(),
        from,
        to,
    };
    decision.act(Action::Scale { revision, from, to }, why);
}

/// No progress was asked of a revision while it had no replicas: its time begins with them.
fn wake_up(revision: &str, now: Timestamp, decision: &mut Decision) {
    if let Some(known) = decision.memory.revisions.get_mut(revision)
        && known.answered_at.is_none()
    {
        known.created_at = now;
    }
}

/// Tells that not all the replicas of a revision that are needed are ready, if so.
fn tell_missing(spec: &Validated, needed: u32, seen: &Snapshot, decision: &mut Decision) {
    let ready = seen.ready(&spec.revision);
    if ready < needed {
        decision.why.push(Why::WaitReady {
            revision: spec.revision.clone(),
            ready,
            needed,
        });
    }
}

/// All is as wanted, unless something is still to be done. A step that failed on the way and is no longer needed is
/// forgotten, of revisions that are gone too: who retired one may have died before it was told.
fn settle(
    spec: &Validated,
    seen: &Snapshot,
    (ready, replicas): (u32, u32),
    now: Timestamp,
    decision: &mut Decision,
) {
    if !decision.actions.is_empty() {
        return;
    }
    // Without replicas nothing has shown that it can take over: what it goes back to stays known.
    if replicas > 0 {
        progress::complete(spec, now, &mut decision.memory);
    }
    let revision = spec.revision.clone();
    for (name, known) in &mut decision.memory.revisions {
        if *name == revision || !seen.revisions.contains_key(name) {
            known.failure = None;
        }
    }
    decision.why.push(Why::Settled {
        revision,
        ready,
        replicas,
    });
}

/// Whether the wanted revision has answered; asks it when it can be asked.
fn answered(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) -> bool {
    let revision = &spec.revision;
    if decision
        .memory
        .revisions
        .get(revision)
        .is_some_and(|known| known.answered_at.is_some())
    {
        return true;
    }
    if seen.ready(revision) == 0 {
        return false;
    }
    let revision = revision.clone();
    match decide::backoff_until(&retry::PROBE, &revision, decision, now) {
        Some(until) => {
            let attempts = decide::failures(&revision, decision);
            decision.why.push(Why::ProbeWaits {
                revision,
                attempts,
                until,
            });
            decision.wake(until);
        }
        None => decision.act(
            Action::Probe {
                revision: revision.clone(),
            },
            Why::Probe { revision },
        ),
    }
    false
}

/// Gives the wanted revision all the traffic.
fn shift(spec: &Validated, seen: &Snapshot, decision: &mut Decision) {
    spread(all_to(&spec.revision), seen, decision);
}

fn all_to(revision: &str) -> Weights {
    Weights::from([(revision.to_owned(), 100)])
}

/// Takes all traffic away; nothing is left to give it to.
pub(crate) fn shut(seen: &Snapshot, decision: &mut Decision) {
    spread(Weights::new(), seen, decision);
}

/// Spreads traffic so, unless it is.
fn spread(to: Weights, seen: &Snapshot, decision: &mut Decision) {
    if seen.weights != to {
        let from = seen.weights.clone();
        let why = Why::ShiftTraffic {
            from: from.clone(),
            to: to.clone(),
        };
        decision.act(Action::SetTraffic { from, to }, why);
    }
}

/// The revisions that are there and have traffic, but for one.
fn bearing<'a>(
    revision: &'a str,
    seen: &'a Snapshot,
) -> impl Iterator<Item = &'a String> + use<'a> {
    let there = seen.revisions.keys();
    there.filter(move |name| *name != revision && seen.weight(name) > 0)
}

/// The revisions that are there and not wanted.
fn others<'a>(
    spec: &'a Validated,
    seen: &'a Snapshot,
) -> impl Iterator<Item = &'a String> + use<'a> {
    seen.revisions.keys().filter(|name| **name != spec.revision)
}

/// Removes revisions that are of no use before the wanted one has taken over: what a rollout in
/// between has left would hold the room that the wanted one needs.
pub(crate) fn retire_spent(
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let is_short = places::shortage(&spec.revision, seen, &decision.memory).is_some();
    for other in others(spec, seen) {
        // Where nothing serves, a ready revision is kept: going back to it is the quickest help. Unless
        // it has the room that the wanted one needs.
        if seen.ready(other) == 0 || seen.serving() > 0 || is_short {
            retire(other, spec, seen, now, decision);
        }
    }
}

/// Removes a revision that has no traffic: at once when nothing is in flight, else at its drain
/// deadline.
pub(crate) fn retire(
    revision: &str,
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    if seen.weight(revision) > 0 {
        return;
    }
    let Some(there) = seen.revisions.get(revision) else {
        return;
    };
    let drain = progress::drain(spec, revision, &decision.memory);
    let known = decision.memory.revisions.entry(revision.to_owned());
    let known = known.or_insert_with(|| crate::memory::RevisionMemory::new(now));
    // A clock that was set back must not make it longer than the drain.
    let since = known.draining_since.unwrap_or(now).min(now);
    known.draining_since = Some(since);
    let deadline = after(since, drain);
    let (revision, in_flight) = (revision.to_owned(), there.in_flight);
    if in_flight == Some(0) {
        decision.act(
            Action::Retire {
                revision: revision.clone(),
            },
            Why::RetireIdle { revision },
        );
    } else if deadline <= now {
        let why = Why::RetireOverdue {
            revision: revision.clone(),
            in_flight,
            deadline,
        };
        decision.act(Action::Retire { revision }, why);
    } else {
        decision.wake(deadline.min(after(now, next_look(since, now))));
        decision.why.push(Why::Draining {
            revision,
            in_flight,
            until: deadline,
        });
    }
}

/// A quarter of the time already waited: quick for short answers, quiet for long ones.
fn next_look(since: Timestamp, now: Timestamp) -> Duration {
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    (waited / 4).clamp(DRAIN_LOOK.0, DRAIN_LOOK.1)
}
