use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::status::{RevisionFailure, RevisionPhase, RevisionStatus};

use crate::memory::{FailureMemory, Memory, RevisionMemory};
use crate::snapshot::{FailureSeen, RevisionSeen, Snapshot};
use crate::validate::Validated;

/// Every remembered revision, oldest first.
pub(super) fn revisions(
    spec: &Validated,
    world: &Snapshot,
    memory: &Memory,
) -> Vec<RevisionStatus> {
    let mut all: Vec<RevisionStatus> = memory
        .revisions
        .iter()
        .map(|(name, known)| {
            let nothing = RevisionSeen::default();
            let there = world.revisions.get(name);
            let weight = world.weight(name);
            let phase = phase(name == &spec.revision, known, there, weight);
            status(name, known, there.unwrap_or(&nothing), weight, phase)
        })
        .collect();
    all.sort_by(|a, b| (&a.created_at.0, &a.name).cmp(&(&b.created_at.0, &b.name)));
    all
}

fn status(
    name: &str,
    known: &RevisionMemory,
    there: &RevisionSeen,
    weight: u32,
    phase: RevisionPhase,
) -> RevisionStatus {
    RevisionStatus {
        name: name.to_owned(),
        phase,
        weight: wire(weight),
        replicas: wire(there.desired),
        ready_replicas: wire(there.ready),
        created_at: MicroTime(known.created_at),
        lock: known.lock.clone(),
        answered_at: known.answered_at.map(MicroTime),
        startup: known.startup,
        capacity: known.capacity.as_ref().map(super::scaling::capacity),
        draining_since: known.draining_since.map(MicroTime),
        failure: known.failure.as_ref().map(remembered),
    }
}

fn phase(
    is_wanted: bool,
    known: &RevisionMemory,
    there: Option<&RevisionSeen>,
    weight: u32,
) -> RevisionPhase {
    match there {
        None if is_wanted && known.lock.is_none() => RevisionPhase::Resolving,
        None => RevisionPhase::Starting,
        Some(_) if known.draining_since.is_some() => RevisionPhase::Draining,
        Some(there) if there.desired == 0 => RevisionPhase::Idle,
        Some(there) if weight > 0 && there.ready > 0 => RevisionPhase::Serving,
        Some(there) if there.ready > 0 => RevisionPhase::Standby,
        Some(_) => RevisionPhase::Starting,
    }
}

fn remembered(failure: &FailureMemory) -> RevisionFailure {
    RevisionFailure {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        attempts: wire(failure.attempts),
        at: MicroTime(failure.at),
        transient: failure.transient,
    }
}

/// The failure that holds a revision up: a failed step of ours, else of its replicas.
pub(super) fn blocker(
    known: Option<&RevisionMemory>,
    there: Option<&RevisionSeen>,
) -> Option<FailureMemory> {
    let step = known.and_then(|known| known.failure.clone());
    step.or_else(|| there.and_then(|there| there.failure.as_ref()).map(seen))
}

fn seen(failure: &FailureSeen) -> FailureMemory {
    FailureMemory {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        attempts: failure.attempts,
        at: failure.at,
        transient: failure.transient,
    }
}

/// Counts on the wire are `int32`.
pub(super) fn wire(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
