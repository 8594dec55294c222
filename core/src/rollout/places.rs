//! Where the replicas of a new revision go: beside those that serve, or in their places. Chosen once
//! a rollout, from what there is room for, and again if that proves wrong.

use std::time::Duration;

use chandler_crds::conditions::Reason;
use chandler_crds::status::{InPlaceStatus, PlanStatus};
use jiff::Timestamp;

use super::memory::Stage;
use super::progress;
use crate::decide::{Decision, after};
use crate::memory::{FailureMemory, Memory, blocker};
use crate::snapshot::Snapshot;
use crate::validate::{TakeOver, Validated};
use crate::why::Why;

/// A replica that drained has given its place back by then, and another one has it.
const TO_FREE: Duration = Duration::from_secs(60);

/// Where the replicas of a new revision go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Why so, for people.
    pub message: String,
    /// How they take the places of others; `None` if they come beside them.
    pub in_place: Option<InPlace>,
}

/// How new replicas take the places of old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Replicas that may be there beyond those wanted.
    pub surge: u32,
    /// Replicas of the model while it lasts, old and new.
    pub replicas: u32,
    /// The most new ones that have been ready.
    pub reached: u32,
}

/// What a rollout in place may do to the count of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Replicas that may be there beyond those wanted.
    pub(crate) surge: u32,
    /// Ready replicas that may be missing.
    pub(crate) out: u32,
}

impl InPlace {
    /// One replica is out at a time where none may be more. The only one never goes first.
    pub(crate) fn budget(&self, wanted: u32) -> Budget {
        let (surge, out) = match (self.surge, wanted) {
            (0, 0 | 1) => (1, 0),
            (0, _) => (0, 1),
            (surge, _) => (surge, 0),
        };
        Budget { surge, out }
    }
}

impl Plan {
    /// What status tells.
    #[must_use]
    pub fn from_status(status: &PlanStatus) -> Self {
        let count = |count: i32| u32::try_from(count).unwrap_or(0);
        Self {
            message: status.message.clone(),
            in_place: status.in_place.map(|it| InPlace {
                surge: count(it.surge),
                replicas: count(it.replicas),
                reached: count(it.reached),
            }),
        }
    }

    /// As status tells it.
    #[must_use]
    pub fn to_status(&self) -> PlanStatus {
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        PlanStatus {
            message: self.message.clone(),
            in_place: self.in_place.map(|it| InPlaceStatus {
                surge: count(it.surge),
                replicas: count(it.replicas),
                reached: count(it.reached),
            }),
        }
    }
}

/// How the rollout of the wanted revision takes the places of others, if it does.
pub(crate) fn in_place<'a>(spec: &Validated, memory: &'a Memory) -> Option<&'a InPlace> {
    progress::of(spec, memory)?.in_place()
}

/// The same, as long as replicas of both are there.
pub(crate) fn in_place_now<'a>(
    spec: &Validated,
    seen: &Snapshot,
    memory: &'a Memory,
) -> Option<&'a InPlace> {
    in_place(spec, memory).filter(|_| held(seen, memory).is_some())
}

/// The count that is held while replicas take the places of others, or are brought back there: no
/// single revision has it.
pub(crate) fn held(seen: &Snapshot, memory: &Memory) -> Option<u32> {
    let rollout = memory.rollout.as_ref()?;
    let mut others = seen.revisions.keys().filter(|it| **it != rollout.revision);
    let lasts = match rollout.stage {
        Stage::Progressing | Stage::Paused => true,
        Stage::Completed(_) => others.next().is_some(),
        // What it gave way to is one of two as long as it is still there.
        Stage::Failed(_) => seen.revisions.len() > 1,
    };
    rollout.in_place().filter(|_| lasts).map(|it| it.replicas)
}

/// Whether the next decision goes by [the room](crate::snapshot::RoomSeen) that there is.
#[must_use]
pub fn asks_for_room(spec: &Validated, memory: &Memory) -> bool {
    let is_locked = memory.lock(&spec.revision).is_some();
    let mut others = memory.revisions.iter();
    let has_other =
        others.any(|(name, known)| *name != spec.revision && known.answered_at.is_some());
    let begun = progress::of(spec, memory);
    let is_unplanned = begun.is_none_or(|it| it.is_open() && it.plan.is_none());
    spec.rollout.auto && !spec.paused && is_locked && has_other && is_unplanned
}

/// Chooses, once it is known which files the wanted revision has.
pub(crate) fn choose(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let memory = &decision.memory;
    let is_locked = memory.lock(&spec.revision).is_some();
    let may_choose = spec.rollout.auto || spec.rollout.strategy == TakeOver::OneOutFirst;
    let rollout = progress::of(spec, memory).filter(|it| it.is_open());
    let Some(rollout) = rollout.filter(|_| is_locked && may_choose && wanted > 0) else {
        return;
    };
    if super::bearing(&spec.revision, seen).next().is_none() {
        return;
    }
    let plan = match &rollout.plan {
        None => chosen(spec, wanted, seen, memory),
        Some(plan) if spec.rollout.auto => match corrected(spec, plan, wanted, seen, memory) {
            Some((from, _)) if from > now => return decision.wake(from),
            Some((_, corrected)) => corrected,
            None => return,
        },
        Some(_) => return,
    };
    if rollout.plan.as_ref() == Some(&plan) {
        return;
    }
    // A world without limits is no news.
    if seen.room.is_some() || plan.in_place.is_some() {
        decision.why.push(Why::Planned {
            revision: spec.revision.clone(),
            message: plan.message.clone(),
        });
    }
    if let Some(rollout) = &mut decision.memory.rollout {
        // What was waited for in vain is no longer waited for.
        if plan.in_place.is_some() {
            rollout.step_began_at = now;
        }
        rollout.plan = Some(plan);
    }
}

/// What the spec asks for, or what there is room for.
fn chosen(spec: &Validated, wanted: u32, seen: &Snapshot, memory: &Memory) -> Plan {
    if is_renamed(spec, memory) {
        let message = "callers know the new revision by another name, so all of it comes beside \
                       the old one";
        return beside(message.to_owned());
    }
    if !spec.rollout.auto {
        return in_place_of(0, wanted, "`oneOutFirst` is asked for".to_owned());
    }
    let Some(room) = &seen.room else {
        let message = "it is not known what room there is: all come beside those that serve";
        return beside(message.to_owned());
    };
    let needed = wanted.saturating_sub(seen.ready(&spec.revision));
    if needed == 0 {
        return beside("it has all the replicas that it needs".to_owned());
    }
    let short_of = room.short_of.as_deref().unwrap_or("no more was looked for");
    let there = room.replicas;
    match there {
        there if there >= needed => beside(format!(
            "{needed} more {} room beside those that serve",
            has(needed)
        )),
        0 => short(wanted, 0, short_of),
        there => {
            let message = format!(
                "of {needed} more, {there} {} room beside those that serve ({short_of}): the others take places that become free",
                has(there)
            );
            in_place_of(there, wanted, message)
        }
    }
}

/// Another choice and when it counts, if replicas find no room after all: at once if they were to come
/// beside the others, and else once the places that became free could have been theirs.
fn corrected(
    spec: &Validated,
    plan: &Plan,
    wanted: u32,
    seen: &Snapshot,
    memory: &Memory,
) -> Option<(Timestamp, Plan)> {
    let revision = &spec.revision;
    let found = shortage(revision, seen, memory);
    let Some(in_place) = &plan.in_place else {
        let found = found.filter(|_| !is_renamed(spec, memory))?;
        let other = short(wanted, seen.ready(revision), &found.message);
        // That the only one stays is told by the pod that waits.
        return other.in_place.is_some().then_some((found.at, other));
    };
    // Where it overtakes another rollout, the one before both comes back first.
    let from = progress::of(spec, memory).and_then(|it| it.from.as_ref());
    let found = found.or_else(|| shortage(from?, seen, memory))?;
    let fewer = in_place.surge.checked_sub(1)?;
    let at = after(found.at, spec.worker.drain() + TO_FREE);
    Some((at, short(wanted, fewer, &found.message)))
}

/// What tells that a replica of a revision finds no room, if one doesn't.
pub(super) fn shortage(revision: &str, seen: &Snapshot, memory: &Memory) -> Option<FailureMemory> {
    let found = blocker(memory.revisions.get(revision), seen.revisions.get(revision))?;
    let no_room = [Reason::Unschedulable, Reason::QuotaExceeded].map(|it| it.to_string());
    no_room.contains(&found.reason).then_some(found)
}

/// No more finds room than are there already.
fn short(wanted: u32, there: u32, short_of: &str) -> Plan {
    if there > 0 {
        let message = format!(
            "no more than {there} {} room beside those that serve ({short_of}): the others take places that become free",
            has(there)
        );
        return in_place_of(there, wanted, message);
    }
    if wanted > 1 {
        let message = format!(
            "no more replica finds room ({short_of}): one that serves makes room for the next"
        );
        return in_place_of(0, wanted, message);
    }
    let message = format!(
        "no more replica finds room ({short_of}), and the only one that serves is not taken away \
         for it: make room, or write `replicas: 2` or `strategy: recreate`"
    );
    beside(message)
}

/// What a rollout does that overtakes one in place: replicas of all are in the places of one another.
pub(super) fn inherited(before: InPlace) -> Plan {
    let message = "it goes on in the places of the rollout that it overtakes";
    in_place_of(before.surge, before.replicas, message.to_owned())
}

fn beside(message: String) -> Plan {
    Plan {
        message,
        in_place: None,
    }
}

fn in_place_of(surge: u32, wanted: u32, message: String) -> Plan {
    let in_place = InPlace {
        surge: surge.min(wanted),
        replicas: wanted,
        reached: 0,
    };
    Plan {
        message,
        in_place: Some(in_place),
    }
}

/// Two revisions that callers know by different names can't share the traffic.
fn is_renamed(spec: &Validated, memory: &Memory) -> bool {
    let from = progress::of(spec, memory).and_then(|it| it.from.as_ref());
    let from = from.and_then(|from| progress::restored(spec, from, memory));
    from.is_some_and(|from| from.served_name != spec.served_name)
}

fn has(count: u32) -> &'static str {
    if count == 1 { "has" } else { "have" }
}
