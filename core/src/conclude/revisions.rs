use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::status::{
    RevisionFailure, RevisionPhase, RevisionStatus, RolloutPhase, RolloutStatus,
};

use crate::memory::{FailureMemory, Memory, RevisionMemory};
use crate::rollout::{End, Plan, Stage, progress, strategy};
use crate::snapshot::{RevisionSeen, Snapshot};
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
        template: known.template.clone(),
        lock: known.lock.clone(),
        answered_at: known.answered_at.map(MicroTime),
        startup: known.startup,
        capacity: known.capacity.as_ref().map(super::scaling::capacity),
        draining_since: known.draining_since.map(MicroTime),
        in_flight: there
            .in_flight
            .filter(|_| phase == RevisionPhase::Draining)
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
        failure: known.failure.as_ref().map(remembered),
        rejected: known.rejected.as_ref().map(End::to_status),
    }
}

fn phase(
    is_wanted: bool,
    known: &RevisionMemory,
    there: Option<&RevisionSeen>,
    weight: u32,
) -> RevisionPhase {
    match there {
        None if known.rejected.is_some() => RevisionPhase::Failed,
        None if is_wanted && known.lock.is_none() => RevisionPhase::Resolving,
        None if is_wanted => RevisionPhase::Starting,
        None => RevisionPhase::Retired,
        Some(_) if known.draining_since.is_some() => RevisionPhase::Draining,
        Some(there) if there.desired == 0 => RevisionPhase::Idle,
        Some(there) if weight > 0 && there.ready > 0 => RevisionPhase::Serving,
        Some(there) if there.ready > 0 => RevisionPhase::Standby,
        Some(_) => RevisionPhase::Starting,
    }
}

/// How the last rollout goes. While nothing is changed, that may be another revision's.
pub(super) fn rollout(spec: &Validated, memory: &Memory) -> Option<RolloutStatus> {
    let rollout = memory.rollout.as_ref()?;
    let is_back = progress::fallback(spec, memory).is_some();
    let (phase, end) = match &rollout.stage {
        Stage::Progressing => (RolloutPhase::Progressing, None),
        Stage::Paused => (RolloutPhase::Paused, None),
        Stage::Completed(end) => (RolloutPhase::Completed, Some(end)),
        Stage::Failed(end) if is_back => (RolloutPhase::RolledBack, Some(end)),
        Stage::Failed(end) => (RolloutPhase::Held, Some(end)),
    };
    Some(RolloutStatus {
        revision: rollout.revision.clone(),
        from: rollout.from.clone(),
        strategy: strategy(spec, memory).into(),
        plan: rollout.plan.as_ref().map(Plan::to_status),
        phase,
        step: wire(rollout.step),
        steps: wire(spec.rollout.last_step()),
        step_began_at: MicroTime(rollout.step_began_at),
        held_since: rollout.held_since.map(MicroTime),
        began_at: MicroTime(rollout.began_at),
        analysis: rollout.analysis.clone(),
        answers: rollout.answers.clone(),
        end: end.map(End::to_status),
        policy: rollout.policy.clone(),
    })
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

/// Counts on the wire are `int32`.
pub(super) fn wire(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
