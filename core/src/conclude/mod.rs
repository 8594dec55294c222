//! What is told afterwards. Status comes from what was seen and from outcomes, never from what
//! was merely decided.

mod answers;
mod conditions;
mod demand;
mod revisions;
mod scaling;

use std::time::Duration;

use chandler_crds::conditions::{ConditionType, Reason, Truth, TypedCondition, merge};
use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use chandler_crds::names::labels;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::Timestamp;

use crate::check::Violation;
use crate::decide::{Action, Decision, again_at};
use crate::memory::{FailureMemory, Memory, RevisionMemory};
use crate::rollout::{answers as worth, progress};
use crate::scale;
use crate::snapshot::{RevisionSeen, Snapshot};
use crate::validate::{Invalid, Validated};
use crate::world::{Failure, Outcome};

/// What a turn tells.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// To be published.
    pub status: ModelDeploymentStatus,
    /// Look again then at the latest.
    pub wake_at: Option<Timestamp>,
}

/// Concludes a turn whose actions were tried.
#[must_use]
pub fn conclude(
    before: &ModelDeploymentStatus,
    spec: &Validated,
    seen: &Snapshot,
    decision: &Decision,
    outcomes: &[Outcome],
    now: Timestamp,
) -> Concluded {
    let mut world = seen.clone();
    let mut memory = decision.memory.clone();
    let mut wake_at = decision.wake_at;
    for (action, outcome) in decision.actions.iter().zip(outcomes) {
        match outcome {
            outcome if outcome.is_done() => {
                done(spec, action, outcome, &mut world, &mut memory, now);
                let grounds = (seen, decision.why.as_slice());
                scaling::note(spec, action, grounds, &mut memory, now);
                wake_at = Some(now);
            }
            Outcome::Failed(failure) => {
                let again = failed(spec, action, failure, &mut memory, now);
                wake_at = Some(wake_at.map_or(again, |at| at.min(again)));
            }
            Outcome::Pending { blocked } => {
                pending(spec, action, blocked.as_ref(), &mut memory, now);
            }
            _ => {}
        }
    }
    let before_it = progress::fallback(spec, &memory);
    let pursued = before_it.as_ref().unwrap_or(spec);
    let facts = conditions::Facts {
        spec,
        pursued,
        seen: &world,
        memory: &memory,
        wanted: scale::wanted(pursued, &world, &memory, now).replicas,
        why: &decision.why,
        now,
    };
    let wake_at = facts.deadline().into_iter().chain(wake_at).min();
    let status = ModelDeploymentStatus {
        conditions: merge(
            &before.conditions,
            &facts.conditions(),
            Some(spec.generation),
            &Time(now),
        ),
        revisions: revisions::revisions(spec, &world, &memory),
        why: decision.why.iter().map(ToString::to_string).collect(),
        served_name: Some(served_name(before, spec, &world)),
        scaling: scaling::status(spec, &memory),
        rollout: revisions::rollout(spec, &memory),
        ..counts(spec, &world, &facts)
    };
    Concluded { status, wake_at }
}

fn counts(
    spec: &Validated,
    world: &Snapshot,
    facts: &conditions::Facts<'_>,
) -> ModelDeploymentStatus {
    let sum = |count: fn(&RevisionSeen) -> u32| {
        let counts = world.revisions.values().map(count);
        counts.fold(0, u32::saturating_add)
    };
    let (ready, desired) = (sum(|there| there.ready), sum(|there| there.desired));
    let current = world
        .weights
        .iter()
        .max_by_key(|(_, weight)| **weight)
        .map(|(name, _)| name.clone());
    ModelDeploymentStatus {
        observed_generation: Some(spec.generation),
        replicas: Some(revisions::wire(desired)),
        ready_replicas: Some(revisions::wire(ready)),
        replica_summary: Some(format!("{}/{}", facts.ready(), facts.wanted)),
        selector: Some(format!("{}={}", labels::MODEL, spec.key.name)),
        current_revision: current,
        ..ModelDeploymentStatus::default()
    }
}

/// The name that callers give: a new one counts once the revision that knows it has traffic.
fn served_name(before: &ModelDeploymentStatus, spec: &Validated, world: &Snapshot) -> String {
    let moved = world.weights.is_empty() || world.weight(&spec.revision) > 0;
    let old = before.served_name.as_ref().filter(|_| !moved);
    old.unwrap_or(&spec.served_name).clone()
}

/// Moves the picture of the world to what a done action made of it. Ready counts stay what was
/// seen: a replica is ready when it says so.
fn done(
    spec: &Validated,
    action: &Action,
    outcome: &Outcome,
    world: &mut Snapshot,
    memory: &mut Memory,
    now: Timestamp,
) {
    let revision = action.revision().unwrap_or(&spec.revision);
    if let Some(known) = memory.revisions.get_mut(revision) {
        known.failure = None;
        match (action, outcome) {
            (Action::Resolve { .. }, Outcome::Resolved(lock)) => known.lock = Some(lock.clone()),
            (Action::Probe { .. }, _) => {
                known.answered_at = Some(now);
                // A replica has just been asked: by what was seen before, the model could rest.
                if let Some(there) = world.revisions.get_mut(revision) {
                    there.idle = there.idle.map(|_| Duration::ZERO);
                }
                if let Outcome::Answered(startup) = outcome {
                    known.startup = Some(*startup);
                }
            }
            _ => {}
        }
    }
    match action {
        Action::EnsureRevision {
            revision, replicas, ..
        } => {
            let there = RevisionSeen {
                desired: *replicas,
                ..RevisionSeen::default()
            };
            world.revisions.insert(revision.clone(), there);
        }
        Action::Scale { revision, to, .. } => {
            if let Some(there) = world.revisions.get_mut(revision) {
                there.desired = *to;
                there.ready = there.ready.min(*to);
            }
        }
        Action::SetTraffic { to, .. } => world.weights.clone_from(to),
        Action::Retire { revision } => {
            world.revisions.remove(revision);
            if let Some(known) = memory.revisions.get_mut(revision) {
                known.draining_since = None;
            }
        }
        Action::Mend { revision, .. } => {
            if let Some(there) = world.revisions.get_mut(revision) {
                there.drifted = false;
            }
        }
        Action::Evaluate { .. } => {
            if let (Outcome::Evaluated(found), Some(rollout)) = (outcome, &mut memory.rollout) {
                worth::note(rollout, revision, found, now);
            }
        }
        Action::Resolve { .. } | Action::Probe { .. } => {}
    }
}

/// Tells what holds a step up that is under way. It has not failed, so nothing is counted and
/// nothing backs off.
fn pending(
    spec: &Validated,
    action: &Action,
    blocked: Option<&Failure>,
    memory: &mut Memory,
    now: Timestamp,
) {
    let revision = action.revision().unwrap_or(&spec.revision);
    let Some(known) = memory.revisions.get_mut(revision) else {
        return;
    };
    let before = known.failure.take();
    known.failure = match (blocked, before) {
        (Some(blocked), before) => Some(FailureMemory {
            reason: blocked.reason.clone(),
            message: blocked.message.clone(),
            attempts: before.as_ref().map_or(0, |before| before.attempts),
            // Noted once, or each look would write a status that wakes the next look.
            at: before.map_or(now, |before| before.at),
            transient: blocked.transient,
        }),
        // A retry is under way: the failure before it stays told and counted until it ends.
        (None, before) => before,
    };
}

/// Counts a failure; gives when to look again.
fn failed(
    spec: &Validated,
    action: &Action,
    failure: &Failure,
    memory: &mut Memory,
    now: Timestamp,
) -> Timestamp {
    let revision = action.revision().unwrap_or(&spec.revision);
    let known = memory
        .revisions
        .entry(revision.to_owned())
        .or_insert_with(|| RevisionMemory::new(now));
    let attempts = known
        .failure
        .as_ref()
        .map_or(0, |before| before.attempts)
        .saturating_add(1);
    let failure = known.failure.insert(FailureMemory {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        attempts,
        at: now,
        transient: failure.transient,
    });
    again_at(action.backoff(), failure, revision)
}

/// Concludes a turn whose spec could not be followed. What serves goes on serving.
pub(crate) fn invalid(
    before: &ModelDeploymentStatus,
    object: &ModelDeployment,
    invalid: &[Invalid],
    now: Timestamp,
) -> ModelDeploymentStatus {
    let message = in_one_line(invalid);
    stalled(
        before,
        object.metadata.generation,
        &Reason::InvalidSpec,
        &message,
        now,
    )
}

/// Concludes a turn whose decision broke a rule and was not carried out.
pub(crate) fn refused(
    before: &ModelDeploymentStatus,
    spec: &Validated,
    broken: &[Violation],
    now: Timestamp,
) -> ModelDeploymentStatus {
    let message = in_one_line(broken);
    stalled(
        before,
        Some(spec.generation),
        &Reason::DecisionRefused,
        &message,
        now,
    )
}

/// Concludes a turn that could not observe the world, by a failure that only a person can mend.
/// What serves goes on serving.
#[must_use]
pub fn unobserved(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    failure: &Failure,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let reason = Reason::Reported(failure.reason.clone());
    stalled(before, generation, &reason, &failure.message, now)
}

fn in_one_line<T: ToString>(all: &[T]) -> String {
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn stalled(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    reason: &Reason,
    message: &str,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let condition = |kind, truth: Truth| TypedCondition {
        kind,
        truth,
        reason: reason.clone(),
        message: message.to_owned(),
    };
    let new = [
        condition(ConditionType::Ready, Truth::False),
        condition(ConditionType::Reconciling, Truth::False),
        condition(ConditionType::Stalled, Truth::True),
    ];
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: merge(&before.conditions, &new, generation, &Time(now)),
        ..before.clone()
    }
}
