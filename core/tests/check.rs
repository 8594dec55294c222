//! Decisions made by hand that break a rule, one for each, and neighbours that break none.

mod common;

use std::time::Duration;

use chandler_core::check::{Violation, check};
use chandler_core::decide::{Action, Decision};
use chandler_core::load::LoadSeen;
use chandler_core::memory::Memory;
use chandler_core::rollout::{End, Stage};
use chandler_core::snapshot::{GatewaysSeen, RevisionSeen, Snapshot, Weights};
use chandler_core::validate::Validated;
use common::{
    ago, busy, draining, gateways, idle, lock, memory, now, proven, restorable, seen, spec, there,
    weights,
};
use serde_json::{Value, json};

fn verdict(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    actions: Vec<Action>,
) -> Vec<Violation> {
    let decision = Decision {
        actions,
        ..Decision::default()
    };
    check(spec, seen, memory, &decision, now())
        .err()
        .unwrap_or_default()
}

/// The verdict for one replica wanted and nothing remembered.
fn of(seen: &Snapshot, actions: Vec<Action>) -> Vec<Violation> {
    verdict(&spec(json!({})), seen, &Memory::default(), actions)
}

fn traffic(from: Weights, to: Weights) -> Action {
    Action::SetTraffic { from, to }
}

fn retire(revision: &str) -> Action {
    Action::Retire {
        revision: revision.to_owned(),
    }
}

fn probe(revision: &str) -> Action {
    Action::Probe {
        revision: revision.to_owned(),
    }
}

fn scale(revision: &str, from: u32, to: u32) -> Action {
    Action::Scale {
        revision: revision.to_owned(),
        from,
        to,
    }
}

fn create(revision: &str, replicas: u32) -> Action {
    Action::EnsureRevision {
        revision: revision.to_owned(),
        worker: Box::new(spec(json!({})).worker.spec(&lock())),
        replicas,
    }
}

fn serving() -> Snapshot {
    seen([("a", there(1, 1))], weights([("a", 100)]))
}

fn stale(action: &'static str, revision: &str) -> Vec<Violation> {
    vec![Violation::StalePrecondition {
        action,
        revision: revision.to_owned(),
    }]
}

#[test]
fn weights_are_a_hundred_or_none() {
    let two = seen(
        [("a", there(1, 1)), ("b", there(1, 1))],
        weights([("a", 100)]),
    );
    let to = |to| of(&two, vec![traffic(weights([("a", 100)]), to)]);
    assert_eq!(
        to(weights([("a", 90), ("b", 20)])),
        [Violation::WeightsSum { total: 110 }]
    );
    assert_eq!(
        to(weights([("a", u32::MAX), ("b", 9)])),
        [Violation::WeightsSum { total: u32::MAX }]
    );
    assert!(to(weights([("a", 90), ("b", 10)])).is_empty());
    let odd = seen([("a", there(1, 1))], weights([("a", 60)]));
    assert!(
        of(&odd, vec![]).is_empty(),
        "what others set is no decision"
    );
}

#[test]
fn traffic_goes_to_ready_replicas() {
    let world = seen(
        [("a", there(1, 0)), ("b", there(1, 0))],
        weights([("a", 100)]),
    );
    let from = || weights([("a", 100)]);
    for nobody in ["b", "ghost"] {
        let told = of(&world, vec![traffic(from(), weights([(nobody, 100)]))]);
        let revision = nobody.to_owned();
        assert_eq!(told, [Violation::TrafficToNobody { revision }]);
    }
    assert!(
        of(&world, vec![]).is_empty(),
        "traffic stays for their return"
    );
}

#[test]
fn what_has_traffic_is_not_retired() {
    let recreate = spec(json!({"rollout": {"strategy": "recreate"}}));
    let told = verdict(&recreate, &serving(), &Memory::default(), vec![retire("a")]);
    let revision = "a".to_owned();
    assert_eq!(
        told,
        [Violation::RetiredWithTraffic {
            revision,
            weight: 100
        }]
    );
    let shut = traffic(weights([("a", 100)]), weights([]));
    assert!(
        verdict(
            &recreate,
            &serving(),
            &Memory::default(),
            vec![shut, retire("a")]
        )
        .is_empty()
    );
}

#[test]
fn what_has_requests_is_not_retired_before_its_deadline() {
    let spec = spec(json!({}));
    let undrained = vec![Violation::RetiredUndrained {
        revision: "b".to_owned(),
    }];
    for (in_flight, known, expected) in [
        (Some(1), memory([]), &undrained),
        (Some(1), memory([("b", proven())]), &undrained),
        (Some(1), memory([("b", draining(ago(29)))]), &undrained),
        (None, memory([("b", draining(ago(29)))]), &undrained),
        (Some(1), memory([("b", draining(ago(30)))]), &vec![]),
        (Some(0), memory([]), &vec![]),
    ] {
        let world = seen(
            [("a", there(1, 1)), ("b", busy(1, 1, in_flight))],
            weights([("a", 100)]),
        );
        let told = verdict(&spec, &world, &known, vec![retire("b")]);
        assert_eq!(told, *expected, "{in_flight:?} {known:?}");
    }
}

#[test]
fn capacity_is_kept_unless_fewer_are_wanted() {
    let world = seen(
        [("a", there(3, 3)), ("b", there(3, 1))],
        weights([("a", 100)]),
    );
    let shift = || vec![traffic(weights([("a", 100)]), weights([("b", 100)]))];
    let lost = |floor| {
        vec![Violation::CapacityLost {
            before: 3,
            after: 1,
            floor,
        }]
    };
    for (fields, expected) in [
        (json!({"replicas": 3}), lost(3)),
        (json!({"replicas": 2}), lost(2)),
        (
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}),
            lost(2),
        ),
        (json!({"replicas": 1}), vec![]),
        (
            json!({"replicas": 3, "rollout": {"strategy": "recreate"}}),
            vec![],
        ),
    ] {
        let told = verdict(&spec(fields.clone()), &world, &Memory::default(), shift());
        assert_eq!(told, expected, "{fields}");
    }
}

#[test]
fn counts_stay_within_bounds() {
    let spec = spec(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}));
    let world = seen([("a", there(3, 0))], weights([]));
    let told = told_by(3, 3);
    let known = seen([("a", told)], weights([]));
    for replicas in [0, 1, 5] {
        for action in [create("b", replicas), scale("a", 3, replicas)] {
            let told = verdict(&spec, &known, &Memory::default(), vec![action.clone()]);
            let revision = action.revision().unwrap_or_default().to_owned();
            let (min, max) = (2, 4);
            let expected = [Violation::OutOfBounds {
                revision,
                replicas,
                min,
                max,
            }];
            assert_eq!(told, expected, "{action:?}");
        }
    }
    for action in [create("b", 2), scale("a", 3, 4)] {
        let told = verdict(&spec, &world, &Memory::default(), vec![action]);
        assert!(told.is_empty(), "{told:?}");
    }
}

/// Ready replicas, of which so many have told their load.
fn told_by(ready: u32, replicas: u32) -> RevisionSeen {
    RevisionSeen {
        load: Some(LoadSeen {
            replicas,
            ..LoadSeen::default()
        }),
        ..there(ready, ready)
    }
}

#[test]
fn a_count_shrinks_by_what_every_ready_replica_has_told() {
    let spec = spec(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}));
    let blind = |from, to, ready, told| Violation::ShrunkBlind {
        revision: "a".to_owned(),
        from,
        to,
        ready,
        told,
    };
    for (replica, from, to, expected) in [
        (there(3, 3), 3, 2, vec![blind(3, 2, 3, 0)]),
        (told_by(3, 2), 3, 2, vec![blind(3, 2, 3, 2)]),
        (told_by(3, 3), 3, 2, vec![]),
        (there(3, 3), 3, 4, vec![]),
        // The spec's own bound needs no reason.
        (there(6, 6), 6, 4, vec![]),
        (there(6, 6), 6, 3, vec![blind(6, 3, 6, 0)]),
    ] {
        let world = seen([("a", replica)], weights([]));
        let told = verdict(
            &spec,
            &world,
            &Memory::default(),
            vec![scale("a", from, to)],
        );
        assert_eq!(told, expected, "{from} to {to}");
    }
}

#[test]
fn a_model_goes_to_rest_on_good_evidence_alone() {
    let scaled = json!({"minReplicas": 0, "maxReplicas": 4, "idleAfter": "1m"});
    let scaled = spec(json!({"autoscaling": scaled}));
    let verdict_of = |gateways: Option<GatewaysSeen>, replica: RevisionSeen, action: &Action| {
        let world = Snapshot {
            gateways,
            ..seen([("a", replica)], weights([]))
        };
        verdict(&scaled, &world, &Memory::default(), vec![action.clone()])
    };
    let (down, new) = (scale("a", 1, 0), create("b", 0));
    let long = || Some(gateways(0, Some(60)));
    assert!(verdict_of(long(), idle(Some(60)), &down).is_empty());
    for (told, replica, action, waiting, least) in [
        (None, idle(Some(99)), &down, 0, None),
        (Some(gateways(0, None)), idle(Some(99)), &down, 0, None),
        (long(), idle(None), &down, 0, None),
        (
            Some(gateways(1, Some(99))),
            idle(Some(99)),
            &down,
            1,
            Some(99),
        ),
        (long(), idle(Some(59)), &down, 0, Some(59)),
        (
            Some(gateways(0, Some(59))),
            idle(Some(99)),
            &down,
            0,
            Some(59),
        ),
        (long(), idle(Some(99)), &new, 0, None),
    ] {
        let expected = Violation::AsleepTooSoon {
            revision: action.revision().unwrap_or_default().to_owned(),
            waiting,
            idle: least.map(Duration::from_secs),
            idle_after: Duration::from_secs(60),
        };
        assert_eq!(verdict_of(told, replica, action), [expected]);
    }
    assert!(verdict_of(None, idle(None), &scale("a", 1, 2)).is_empty());
}

#[test]
fn each_action_starts_from_what_is_so() {
    let recreate = spec(json!({"rollout": {"strategy": "recreate"}}));
    let world = seen(
        [("a", there(2, 1)), ("b", there(1, 0))],
        weights([("a", 100)]),
    );
    let other = || weights([("b", 100)]);
    for (action, expected) in [
        (create("a", 1), stale("creation", "a")),
        (scale("a", 3, 1), stale("scaling", "a")),
        (scale("ghost", 0, 1), stale("scaling", "ghost")),
        (probe("b"), stale("probe", "b")),
        (probe("ghost"), stale("probe", "ghost")),
        (
            traffic(other(), weights([("a", 100)])),
            stale("traffic", "a"),
        ),
        (traffic(other(), weights([])), stale("traffic", "none")),
        (create("new", 1), vec![]),
        (scale("a", 2, 1), vec![]),
        (probe("a"), vec![]),
    ] {
        let told = verdict(&recreate, &world, &Memory::default(), vec![action.clone()]);
        assert_eq!(told, expected, "{action:?}");
    }
    // Nothing is there to be idle either.
    let told = verdict(&recreate, &world, &Memory::default(), vec![retire("ghost")]);
    assert_eq!(told[..1], stale("retirement", "ghost"));
}

/// A canary at the step of 20 % beside what it takes over from, and a change of its weight.
fn to_weight(weight: u32, stage: Stage, fields: Value) -> Vec<Violation> {
    let mut rollout = json!({"steps": [{"weight": 20}, {"weight": 60}]});
    for (field, value) in fields.as_object().expect("fields") {
        rollout[field] = value.clone();
    }
    let spec = spec(json!({"rollout": rollout}));
    let (old, known) = restorable(&spec);
    let shares = |new| weights([(&old, 100 - new), (&spec.revision, new)]);
    let world = seen(
        [(&old, there(1, 1)), (&spec.revision, there(1, 1))],
        shares(10),
    );
    let mut memory = memory([(&old, known), (&spec.revision, proven())]);
    memory.rollout = Some(common::rollout(&spec, &old, 1, stage));
    verdict(
        &spec,
        &world,
        &memory,
        vec![traffic(shares(10), shares(weight))],
    )
}

#[test]
fn a_canary_gets_no_more_than_its_step() {
    let to = |weight| to_weight(weight, Stage::Progressing, json!({}));
    for weight in [1, 20] {
        assert_eq!(to(weight), [], "{weight}");
    }
    for weight in [21, 60, 100] {
        let told = to(weight);
        assert!(
            matches!(told[..], [Violation::StepSkipped { allowed: 20, .. }]),
            "{told:?}"
        );
    }
}

#[test]
fn what_failed_gets_no_more_traffic() {
    let failed = || {
        Stage::Failed(End {
            at: ago(5),
            reason: "TooSlow".to_owned(),
            message: "it is too slow".to_owned(),
        })
    };
    let told = to_weight(20, failed(), json!({}));
    assert!(
        matches!(told[..], [Violation::FailedServes { .. }]),
        "{told:?}"
    );
    assert_eq!(
        to_weight(5, failed(), json!({})),
        [],
        "less is the way back"
    );
}

#[test]
fn a_canary_may_have_fewer_replicas_than_the_least_beside_one_that_has_them() {
    let spec = spec(json!({"replicas": 4, "rollout": {"strategy": "canary"}}));
    let created = |others: Weights| {
        let world = seen([("a", there(4, 4))], others);
        let told = verdict(&spec, &world, &Memory::default(), vec![create("b", 1)]);
        told.iter()
            .any(|it| matches!(it, Violation::OutOfBounds { replicas: 1, .. }))
    };
    assert!(!created(weights([("a", 100)])));
    assert!(created(weights([])), "nothing has the traffic");
    let world = seen([("a", there(4, 4))], weights([("a", 100)]));
    for count in [0, 5] {
        let told = verdict(&spec, &world, &Memory::default(), vec![create("b", count)]);
        assert!(
            matches!(told[..], [Violation::OutOfBounds { .. }]),
            "{told:?}"
        );
    }
}

#[test]
fn every_broken_rule_is_told() {
    let told = of(&serving(), vec![probe("ghost"), create("b", 9)]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|it| !it.to_string().is_empty()));
}
