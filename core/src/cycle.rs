//! One turn: observe, decide, check, perform, conclude. Every world runs this one.

use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::Timestamp;

use crate::analysis;
use crate::check::check;
use crate::conclude;
use crate::decide::{Action, Decision, decide, decide_removal};
use crate::memory::Memory;
use crate::snapshot::Snapshot;
use crate::validate::{ModelKey, Replicas, Validated, validate};
use crate::world::{Failure, Outcome, World};

/// What a turn came to.
#[derive(Clone, Debug)]
pub struct Turn {
    /// To be published.
    pub status: ModelDeploymentStatus,
    /// What it rests on; `None` if it could not come to that.
    pub seen: Option<Snapshot>,
    /// What was decided; empty if it could not come to that.
    pub decision: Decision,
    /// What became of each action.
    pub outcomes: Vec<Outcome>,
    /// Look again then at the latest; `None` waits for a change.
    pub wake_at: Option<Timestamp>,
}

/// What a turn would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// Something would be done, or another status published.
    Turn,
    /// All would stay as it is.
    Still {
        /// Look again then at the latest; `None` waits for a change.
        wake_at: Option<Timestamp>,
    },
}

/// What a turn would come to that saw this and found this status.
#[must_use]
pub fn foresee(
    spec: &Validated,
    status: Option<&ModelDeploymentStatus>,
    seen: &Snapshot,
    now: Timestamp,
) -> Foreseen {
    let nothing = ModelDeploymentStatus::default();
    let before = status.unwrap_or(&nothing);
    let (after, wake_at) = match plan(before, spec, seen, now) {
        Ok(decision) if decision.actions.is_empty() => {
            let concluded = conclude::conclude(before, spec, seen, &decision, &[], now);
            (concluded.status, concluded.wake_at)
        }
        Ok(_) => return Foreseen::Turn,
        Err(refused) => (*refused, None),
    };
    if status == Some(&after) {
        Foreseen::Still { wake_at }
    } else {
        Foreseen::Turn
    }
}

/// One turn for an object that shall be as its spec says.
///
/// # Errors
/// The world could not be observed. Nothing was done, and the status stands as it is.
pub async fn cycle<W: World>(
    world: &mut W,
    object: &ModelDeployment,
    now: Timestamp,
) -> Result<Turn, Failure> {
    let before = object.status.clone().unwrap_or_default();
    let spec = match validate(object) {
        Ok(spec) => spec,
        Err(invalid) => return Ok(rest(conclude::invalid(&before, object, &invalid, now))),
    };
    let memory = Memory::from_status(Some(&before));
    let question = analysis::question(&spec, &memory);
    let seen = world.observe(&spec.key, question.as_ref()).await?;
    Ok(match plan(&before, &spec, &seen, now) {
        Ok(decision) => carry_out(world, &before, &spec, seen, decision, now).await,
        Err(refused) => Turn {
            seen: Some(seen),
            ..rest(*refused)
        },
    })
}

/// Decides and checks.
///
/// # Errors
/// The decision broke a rule: the status that tells so.
fn plan(
    before: &ModelDeploymentStatus,
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
) -> Result<Decision, Box<ModelDeploymentStatus>> {
    let memory = Memory::from_status(Some(before));
    let decision = decide(spec, seen, &memory, now);
    match check(spec, seen, &decision.memory, &decision, now) {
        Ok(()) => Ok(decision),
        Err(broken) => Err(Box::new(conclude::refused(before, spec, &broken, now))),
    }
}

/// One turn for a model that is to be gone. Nothing is left of it once `None` is given.
///
/// # Errors
/// The world could not be observed.
pub async fn remove<W: World>(
    world: &mut W,
    spec: &Validated,
    status: &ModelDeploymentStatus,
    now: Timestamp,
) -> Result<Option<Turn>, Failure> {
    let seen = world.observe(&spec.key, None).await?;
    if seen.revisions.is_empty() && seen.weights.is_empty() {
        return Ok(None);
    }
    let memory = Memory::from_status(Some(status));
    let decision = decide_removal(spec, &seen, &memory, now);
    // What is to be gone has no capacity to keep; all other rules hold.
    let gone = Validated {
        replicas: Replicas::Fixed(0),
        ..spec.clone()
    };
    if let Err(broken) = check(&gone, &seen, &decision.memory, &decision, now) {
        return Ok(Some(rest(conclude::refused(status, spec, &broken, now))));
    }
    Ok(Some(
        carry_out(world, status, spec, seen, decision, now).await,
    ))
}

/// Does what was decided and checked, and concludes.
async fn carry_out<W: World>(
    world: &mut W,
    before: &ModelDeploymentStatus,
    spec: &Validated,
    seen: Snapshot,
    decision: Decision,
    now: Timestamp,
) -> Turn {
    let outcomes = perform(world, &spec.key, &decision.actions).await;
    let concluded = conclude::conclude(before, spec, &seen, &decision, &outcomes, now);
    Turn {
        status: concluded.status,
        wake_at: concluded.wake_at,
        seen: Some(seen),
        decision,
        outcomes,
    }
}

/// The actions in their order, up to the first that is not done: each may rest on those before.
async fn perform<W: World>(world: &mut W, key: &ModelKey, actions: &[Action]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(actions.len());
    for action in actions {
        let stopped = outcomes.last().is_some_and(|last| !last.is_done());
        outcomes.push(if stopped {
            Outcome::Skipped
        } else {
            world.perform(key, action).await
        });
    }
    outcomes
}

fn rest(status: ModelDeploymentStatus) -> Turn {
    Turn {
        status,
        wake_at: None,
        seen: None,
        decision: Decision::default(),
        outcomes: Vec::new(),
    }
}
