//! What status tells in each phase of a model's life.

mod common;

use chandler_core::conclude::{conclude, unobserved};
use chandler_core::memory::{Memory, RevisionMemory};
use chandler_core::snapshot::{FailureSeen, RevisionSeen, Snapshot};
use chandler_core::world::{Failure, Outcome};
use chandler_crds::ModelDeploymentStatus;
use chandler_crds::names::labels;
use chandler_crds::status::RevisionPhase;
use common::{
    ago, busy, draining, lock, locked, memory, now, proven, seen, spec, there, told, turn, weights,
};
use serde_json::json;

fn broken(transient: bool) -> Outcome {
    Outcome::Failed(Failure {
        reason: "HubUnreachable".to_owned(),
        message: "no route".to_owned(),
        transient,
    })
}

fn crashing(transient: bool) -> RevisionSeen {
    RevisionSeen {
        failure: Some(FailureSeen {
            reason: "WeightsTruncated".to_owned(),
            message: "the file ends early".to_owned(),
            attempts: 3,
            at: now(),
            transient,
        }),
        ..there(1, 0)
    }
}

/// Status and reason of the condition about room.
fn capacity(status: &ModelDeploymentStatus) -> (&str, &str) {
    let mut all = status.conditions.iter();
    let found = all.find(|it| it.type_ == "CapacityAvailable");
    let found = found.expect("every model has it");
    (&found.status, &found.reason)
}

#[test]
fn conditions_of_each_phase() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let (done, resolved) = (Outcome::Done, Outcome::Resolved(lock()));
    let nothing = Snapshot::default();
    let all = |revision: RevisionSeen| seen([(r, revision)], weights([(r, 100)]));
    let none = |revision: RevisionSeen| seen([(r, revision)], weights([]));
    let beside =
        |new: RevisionSeen| seen([("old", there(1, 1)), (r, new)], weights([("old", 100)]));
    let drain = seen(
        [("old", busy(1, 1, Some(2))), (r, there(1, 1))],
        weights([(r, 100)]),
    );
    let late = RevisionMemory {
        created_at: ago(600),
        ..locked()
    };
    let cases = [
        (
            "resolved",
            &nothing,
            memory([]),
            &resolved,
            "Ready=False:Starting Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "hub away",
            &nothing,
            memory([]),
            &broken(true),
            "Ready=False:HubUnreachable Reconciling=True:Resolving Stalled=False:Settled ModelResolved=False:HubUnreachable",
        ),
        (
            "no such model",
            &nothing,
            memory([]),
            &broken(false),
            "Ready=False:HubUnreachable Reconciling=False:HubUnreachable Stalled=True:HubUnreachable ModelResolved=False:HubUnreachable",
        ),
        (
            "starting",
            &none(there(1, 0)),
            memory([(r, locked())]),
            &done,
            "Ready=False:Starting Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "crashing",
            &none(crashing(true)),
            memory([(r, locked())]),
            &done,
            "Ready=False:WeightsTruncated Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "never to start",
            &none(crashing(false)),
            memory([(r, locked())]),
            &done,
            "Ready=False:WeightsTruncated Reconciling=False:WeightsTruncated Stalled=True:WeightsTruncated ModelResolved=True:Resolved",
        ),
        (
            "overdue",
            &none(there(1, 0)),
            memory([(r, late)]),
            &done,
            "Ready=False:Starting Reconciling=False:ProgressDeadlineExceeded Stalled=True:ProgressDeadlineExceeded ModelResolved=True:Resolved",
        ),
        (
            "answered",
            &none(there(1, 1)),
            memory([(r, locked())]),
            &done,
            "Ready=False:RollingOut Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "not answered",
            &none(there(1, 1)),
            memory([(r, locked())]),
            &broken(true),
            "Ready=False:HubUnreachable Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "traffic given",
            &none(there(1, 1)),
            memory([(r, proven())]),
            &done,
            "Ready=True:Answering Reconciling=False:Settled Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "traffic not given",
            &none(there(1, 1)),
            memory([(r, proven())]),
            &broken(true),
            "Ready=False:HubUnreachable Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "settled",
            &all(there(1, 1)),
            memory([(r, proven())]),
            &done,
            "Ready=True:Answering Reconciling=False:Settled Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "all crashed",
            &all(there(1, 0)),
            memory([(r, proven())]),
            &done,
            "Ready=False:Starting Reconciling=True:ReplicasMissing Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "new beside old",
            &beside(there(1, 0)),
            memory([("old", proven()), (r, locked())]),
            &done,
            "Ready=False:Starting Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
        (
            "old drains",
            &drain,
            memory([("old", draining(ago(1))), (r, proven())]),
            &done,
            "Ready=True:Answering Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved",
        ),
    ];
    for (phase, seen, memory, outcome, expected) in cases {
        let concluded = turn(&spec, seen, &memory, outcome);
        assert_eq!(told(&concluded.status), expected, "{phase}");
        assert_eq!(concluded.status.observed_generation, Some(7), "{phase}");
    }
}

#[test]
fn conditions_of_specs_that_rest() {
    let told = |fields, known: RevisionMemory, there: RevisionSeen| {
        let spec = spec(fields);
        let r = spec.revision.as_str();
        let world = seen([(r, there)], weights([]));
        told(&turn(&spec, &world, &memory([(r, known)]), &Outcome::Done).status)
    };
    let zero = || json!({"replicas": 0});
    assert_eq!(
        told(zero(), proven(), there(0, 0)),
        "Ready=True:ScaledToZero Reconciling=False:Settled Stalled=False:Settled ModelResolved=True:Resolved"
    );
    assert_eq!(
        told(zero(), locked(), there(0, 0)),
        "Ready=Unknown:ScaledToZero Reconciling=False:Settled Stalled=False:Settled ModelResolved=True:Resolved"
    );
    let late = RevisionMemory {
        created_at: ago(9999),
        ..locked()
    };
    assert_eq!(
        told(json!({"paused": true}), late, there(1, 0)),
        "Ready=False:Starting Reconciling=False:Paused Stalled=False:Settled ModelResolved=True:Resolved"
    );
}

#[test]
fn a_scaled_model_that_starts_is_not_told_to_sleep() {
    let spec = spec(json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}));
    let resolved = Outcome::Resolved(lock());
    let status = turn(&spec, &Snapshot::default(), &Memory::default(), &resolved).status;
    assert_eq!(
        told(&status),
        "Ready=False:Starting Reconciling=True:RollingOut Stalled=False:Settled ModelResolved=True:Resolved ScalingActive=False:LoadUnknown"
    );
    assert_eq!(status.replica_summary.as_deref(), Some("0/1"));
}

#[test]
fn phases_of_revisions() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let phase = |there: Option<RevisionSeen>, known: RevisionMemory, weight: u32| {
        let mut world = seen([], weights([(r, weight)]));
        world.revisions.extend(there.map(|it| (r.to_owned(), it)));
        let decision = chandler_core::decide::Decision {
            memory: memory([(r, known)]),
            ..Default::default()
        };
        let before = ModelDeploymentStatus::default();
        conclude(&before, &spec, &world, &decision, &[], now())
            .status
            .revisions[0]
            .phase
    };
    assert_eq!(
        phase(None, RevisionMemory::new(now()), 0),
        RevisionPhase::Resolving
    );
    assert_eq!(phase(None, locked(), 0), RevisionPhase::Starting);
    assert_eq!(
        phase(Some(there(1, 0)), locked(), 0),
        RevisionPhase::Starting
    );
    assert_eq!(
        phase(Some(there(1, 1)), locked(), 0),
        RevisionPhase::Standby
    );
    assert_eq!(
        phase(Some(there(1, 1)), proven(), 100),
        RevisionPhase::Serving
    );
    assert_eq!(
        phase(Some(there(1, 1)), draining(ago(1)), 0),
        RevisionPhase::Draining
    );
    assert_eq!(phase(Some(there(0, 0)), proven(), 0), RevisionPhase::Idle);
}

#[test]
fn requests_are_told_of_what_is_on_its_way_out() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let revisions = [("old", busy(1, 1, Some(2))), (r, busy(1, 1, Some(5)))];
    let world = seen(revisions, weights([(r, 100)]));
    let known = memory([("old", draining(ago(1))), (r, proven())]);
    let status = turn(&spec, &world, &known, &Outcome::Done).status;
    let told = status
        .revisions
        .iter()
        .map(|it| (it.name.as_str(), it.in_flight));
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    let mut expected = [("old", Some(2)), (r, None)];
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn failures_count_up_and_success_wipes_them() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let world = seen([(r, there(1, 1))], weights([]));
    let mut known = memory([(r, proven())]);
    for attempts in 1..=3 {
        let concluded = turn(&spec, &world, &known, &broken(true));
        known = Memory::from_status(Some(&concluded.status));
        let failure = known.revisions[r].failure.as_ref().expect("it failed");
        assert_eq!(failure.attempts, attempts);
        assert!(
            concluded.wake_at.is_some_and(|at| at > now()),
            "tried again later"
        );
    }
    let concluded = turn(&spec, &world, &known, &Outcome::Done);
    let known = Memory::from_status(Some(&concluded.status));
    assert_eq!(known.revisions[r].failure, None);
    assert_eq!(
        concluded.wake_at,
        Some(now()),
        "what comes next is not waited for"
    );
}

#[test]
fn status_counts_what_is_there() {
    let spec = spec(json!({"replicas": 2}));
    let r = spec.revision.as_str();
    let world = seen(
        [("old", there(3, 2)), (r, there(2, 1))],
        weights([("old", 100)]),
    );
    let status = turn(&spec, &world, &memory([(r, locked())]), &Outcome::Done).status;
    assert_eq!((status.replicas, status.ready_replicas), (Some(5), Some(3)));
    assert_eq!(status.replica_summary.as_deref(), Some("1/2"));
    assert_eq!(status.current_revision.as_deref(), Some("old"));
    assert_eq!(status.selector, Some(format!("{}=chat", labels::MODEL)));
    let huge = seen(
        [("old", there(u32::MAX, u32::MAX)), (r, there(2, 1))],
        weights([]),
    );
    let status = turn(&spec, &huge, &memory([(r, locked())]), &Outcome::Done).status;
    assert_eq!(status.replicas, Some(i32::MAX));
}

#[test]
fn a_world_that_a_person_must_mend_stalls_and_forgets_nothing() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let world = seen([(r, there(1, 1))], weights([(r, 100)]));
    let before = turn(&spec, &world, &memory([(r, proven())]), &Outcome::Done).status;
    let taken = Failure {
        reason: "NameTaken".to_owned(),
        message: "delete the Service chat".to_owned(),
        transient: false,
    };
    let status = unobserved(&before, Some(8), &taken, now());
    assert_eq!(
        told(&status),
        "Ready=False:NameTaken Reconciling=False:NameTaken Stalled=True:NameTaken"
    );
    assert_eq!(status.conditions[2].message, "delete the Service chat");
    assert_eq!(status.observed_generation, Some(8));
    assert_eq!(status.revisions, before.revisions);
    assert_eq!(unobserved(&status, Some(8), &taken, ago(-60)), status);
}

#[test]
fn a_step_under_way_is_told_and_neither_counted_nor_done() {
    let spec = spec(json!({}));
    let nothing = Snapshot::default();
    let blocked = Failure {
        reason: "Unschedulable".to_owned(),
        message: "0/1 nodes are available: 1 Insufficient memory".to_owned(),
        transient: true,
    };
    let pending = Outcome::Pending {
        blocked: Some(blocked),
    };
    let concluded = turn(&spec, &nothing, &Memory::default(), &pending);
    assert_eq!(concluded.status.revisions[0].lock, None);
    let failure = concluded.status.revisions[0].failure.clone();
    let failure = failure.expect("what holds it up");
    assert_eq!((failure.attempts, failure.transient), (0, true));
    assert_eq!(capacity(&concluded.status), ("False", "Unschedulable"));
    let memory = Memory::from_status(Some(&concluded.status));
    let free = turn(
        &spec,
        &nothing,
        &memory,
        &Outcome::Pending { blocked: None },
    );
    assert!(free.status.revisions[0].failure.is_some());
    let lock = turn(&spec, &nothing, &memory, &Outcome::Resolved(lock()));
    assert_eq!(lock.status.revisions[0].failure, None);
}
