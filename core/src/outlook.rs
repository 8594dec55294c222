//! What a spec would come to, told before it is applied: by the very decision that a turn makes, in a
//! world as it is seen, as if the files of the new revision were known.

use std::time::Duration;

use chandler_crds::ModelLock;
use chandler_crds::spec::Strategy;
use jiff::Timestamp;

use crate::decide::decide;
use crate::memory::{Memory, RevisionMemory};
use crate::rollout::{self, Plan, progress};
use crate::scale;
use crate::snapshot::Snapshot;
use crate::validate::Validated;

/// What a spec would come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The revision that it asks for.
    pub revision: String,
    /// The one that it would take over from; `None` if none serves, or it serves itself.
    pub from: Option<String>,
    /// Whether it has all the traffic already.
    pub serves: bool,
    /// How it failed before, if it did and would not be tried again.
    pub failed: Option<String>,
    /// How it would take over.
    pub strategy: Strategy,
    /// Where its replicas would go; `None` where there is nothing to choose.
    pub plan: Option<Plan>,
    /// Replicas that it would have in the end.
    pub replicas: u32,
    /// Replicas that would be there at once beyond those wanted, at most.
    pub more: u32,
    /// What it would have of the traffic, step by step, up to all of it.
    pub steps: Vec<StepAhead>,
}

/// One step of a rollout to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepAhead {
    /// Percent of the traffic.
    pub weight: u32,
    /// Fewest replicas that it needs for that.
    pub replicas: u32,
    /// How long it would be held at least.
    pub hold: Duration,
}

/// The memory of a model whose wanted revision has been resolved, whatever its files are.
#[must_use]
pub fn resolved(spec: &Validated, memory: &Memory, now: Timestamp) -> Memory {
    let mut memory = memory.clone();
    let known = memory.revisions.entry(spec.revision.clone());
    let known = known.or_insert_with(|| RevisionMemory::new(now));
    known.lock.get_or_insert_with(ModelLock::default);
    memory
}

/// What a spec would come to, with a memory as [`resolved`] makes it and, where
/// [`asks_for_room`](crate::rollout::asks_for_room) of it, with the room that there is.
#[must_use]
pub fn outlook(spec: &Validated, seen: &Snapshot, memory: &Memory, now: Timestamp) -> Outlook {
    let decided = decide(spec, seen, memory, now).memory;
    let rollout = progress::of(spec, &decided);
    let serves = seen.weight(&spec.revision) == 100;
    let failed = rollout.and_then(|it| it.failed());
    let goes = !serves && failed.is_none();
    let from = rollout.and_then(|it| it.from.clone()).filter(|_| goes);
    let wanted = scale::wanted(spec, seen, &decided, now).replicas;
    let strategy = rollout::strategy(spec, &decided);
    let in_place = rollout.and_then(|it| it.in_place());
    let more = match (in_place, &from) {
        (Some(in_place), _) => in_place.budget(wanted).surge,
        (None, Some(_)) if strategy.is_beside() => wanted,
        (None, _) => 0,
    };
    Outlook {
        revision: spec.revision.clone(),
        serves,
        failed: failed.map(|end| end.message.clone()),
        strategy: strategy.into(),
        plan: rollout.and_then(|it| it.plan.clone()),
        replicas: wanted,
        more,
        steps: from.as_ref().map_or_else(Vec::new, |_| steps(spec, wanted)),
        from,
    }
}

fn steps(spec: &Validated, wanted: u32) -> Vec<StepAhead> {
    let all = 1..=spec.rollout.last_step();
    all.map(|step| StepAhead {
        weight: spec.rollout.weight(step),
        replicas: rollout::replicas(spec.rollout.weight(step), wanted),
        hold: spec.rollout.hold(step),
    })
    .collect()
}
