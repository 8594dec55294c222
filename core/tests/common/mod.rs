//! Worlds, memories and specs for tests: some by hand, some random.
#![allow(dead_code)] // Each test file uses its part.

use std::time::Duration;

use chandler_core::conclude::{Concluded, conclude};
use chandler_core::decide::{Decision, decide};
use chandler_core::load::Trail;
use chandler_core::memory::{Memory, RevisionMemory};
use chandler_core::rollout::{RolloutMemory, Stage};
use chandler_core::snapshot::{GatewaysSeen, RevisionSeen, Snapshot, Weights};
use chandler_core::validate::{Validated, validate};
use chandler_core::world::Outcome;
use chandler_crds::names::{GROUP, KIND, VERSION};
use chandler_crds::{LockedFile, ModelDeployment, ModelDeploymentStatus, ModelLock};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) mod random;

/// The test's now: late enough for something to have been before.
pub(crate) fn now() -> Timestamp {
    at(1_000_000)
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// An object with these fields in its spec, admitted or not.
pub(crate) fn object(fields: Value) -> ModelDeployment {
    let mut spec = json!({"model": {"source": "file:///models/a"}});
    for (field, value) in fields.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let manifest = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": "chat", "generation": 7},
        "spec": spec,
    });
    serde_json::from_value(manifest).expect("an object")
}

pub(crate) fn spec(fields: Value) -> Validated {
    validate(&object(fields)).expect("a good spec")
}

pub(crate) fn lock() -> ModelLock {
    ModelLock {
        source: "file:///models/a".to_owned(),
        commit: None,
        files: vec![LockedFile {
            path: "model.safetensors".to_owned(),
            size: 10,
            sha256: "0".repeat(64),
        }],
    }
}

/// A revision with as many replicas as wanted and ready, and nothing in flight.
pub(crate) fn there(desired: u32, ready: u32) -> RevisionSeen {
    RevisionSeen {
        desired,
        ready,
        in_flight: Some(0),
        idle: None,
        load: None,
        drifted: false,
        failure: None,
    }
}

pub(crate) fn busy(desired: u32, ready: u32, in_flight: Option<u64>) -> RevisionSeen {
    RevisionSeen {
        in_flight,
        ..there(desired, ready)
    }
}

/// A replica that is ready and has had no request for so many seconds.
pub(crate) fn idle(seconds: Option<u64>) -> RevisionSeen {
    RevisionSeen {
        idle: seconds.map(Duration::from_secs),
        ..there(1, 1)
    }
}

/// What gateways tell that are open to all.
pub(crate) fn gateways(waiting: u64, idle: Option<u64>) -> GatewaysSeen {
    GatewaysSeen {
        waiting,
        idle: idle.map(Duration::from_secs),
        open: Some(true),
    }
}

pub(crate) fn weights<const N: usize>(pairs: [(&str, u32); N]) -> Weights {
    pairs.map(|(name, weight)| (name.to_owned(), weight)).into()
}

pub(crate) fn seen<const N: usize>(
    revisions: [(&str, RevisionSeen); N],
    weights: Weights,
) -> Snapshot {
    Snapshot {
        revisions: revisions.map(|(name, it)| (name.to_owned(), it)).into(),
        weights,
        gateways: None,
        trail: Trail::default(),
        trial: None,
        untold: None,
        room: None,
    }
}

/// A revision that is resolved.
pub(crate) fn locked() -> RevisionMemory {
    RevisionMemory {
        lock: Some(lock()),
        ..RevisionMemory::new(ago(100))
    }
}

/// A revision that has answered.
pub(crate) fn proven() -> RevisionMemory {
    RevisionMemory {
        answered_at: Some(ago(50)),
        ..locked()
    }
}

pub(crate) fn draining(since: Timestamp) -> RevisionMemory {
    RevisionMemory {
        draining_since: Some(since),
        ..proven()
    }
}

pub(crate) fn memory<const N: usize>(revisions: [(&str, RevisionMemory); N]) -> Memory {
    Memory {
        revisions: revisions.map(|(name, it)| (name.to_owned(), it)).into(),
        ..Memory::default()
    }
}

/// A revision of another model that can be made again, and what it was made from.
pub(crate) fn restorable(spec: &Validated) -> (String, RevisionMemory) {
    let mut object = object(json!({"model": {"source": "file:///models/old"}}));
    object.metadata.name = Some(spec.key.name.clone());
    let old = validate(&object).expect("a good spec");
    let known = RevisionMemory {
        template: Some(*old.template),
        ..proven()
    };
    (old.revision, known)
}

/// A rollout of the wanted revision from another one, at a step that has just begun.
pub(crate) fn rollout(spec: &Validated, from: &str, step: u32, stage: Stage) -> RolloutMemory {
    RolloutMemory {
        revision: spec.revision.clone(),
        from: Some(from.to_owned()),
        plan: None,
        stage,
        step,
        step_began_at: now(),
        held_since: None,
        began_at: ago(10),
        policy: spec.rollout.hash.clone(),
        analysis: None,
        answers: None,
    }
}

/// The actions, shortly.
pub(crate) fn actions(decision: &Decision) -> Vec<String> {
    use chandler_core::decide::Action;
    let told = decision.actions.iter().map(|action| match action {
        Action::Resolve { revision, .. } => format!("resolve {revision}"),
        Action::EnsureRevision {
            revision, replicas, ..
        } => format!("create {revision} {replicas}"),
        Action::Scale { revision, from, to } => format!("scale {revision} {from} {to}"),
        Action::Mend { revision, .. } => format!("mend {revision}"),
        Action::Probe { revision } => format!("probe {revision}"),
        Action::Evaluate { revision, .. } => format!("evaluate {revision}"),
        Action::SetTraffic { to, .. } => format!("traffic {to:?}"),
        Action::Retire { revision } => format!("retire {revision}"),
    });
    told.collect()
}

/// A turn in which every action has this outcome.
pub(crate) fn turn(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    outcome: &Outcome,
) -> Concluded {
    let decision = decide(spec, seen, memory, now());
    let outcomes = vec![outcome.clone(); decision.actions.len()];
    conclude(
        &ModelDeploymentStatus::default(),
        spec,
        seen,
        &decision,
        &outcomes,
        now(),
    )
}

/// `Type=Status:Reason` of every condition but the one about room, which has tests of its own.
pub(crate) fn told(status: &ModelDeploymentStatus) -> String {
    let all = status.conditions.iter();
    let all = all.filter(|it| it.type_ != "CapacityAvailable");
    let all: Vec<String> = all
        .map(|it| format!("{}={}:{}", it.type_, it.status, it.reason))
        .collect();
    all.join(" ")
}
