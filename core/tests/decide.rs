//! Which moves are decided, case by case.

mod common;

use chandler_core::decide::{decide, decide_removal};
use chandler_core::memory::{FailureMemory, Memory, RevisionMemory};
use chandler_core::snapshot::{GatewaysSeen, RevisionSeen, Snapshot};
use chandler_core::validate::Validated;
use common::{
    actions, ago, busy, draining, gateways, idle, locked, memory, now, proven, seen, spec, there,
    weights,
};
use serde_json::{Value, json};

fn failed(attempts: u32, seconds_ago: i64, transient: bool) -> Option<FailureMemory> {
    Some(FailureMemory {
        reason: "HubUnreachable".to_owned(),
        message: "no route".to_owned(),
        attempts,
        at: ago(seconds_ago),
        transient,
    })
}

fn decided(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Vec<String> {
    actions(&decide(spec, seen, memory, now()))
}

/// The actions for a spec of these fields, with `@` for the revision that it wants.
fn moves(
    fields: Value,
    seen: impl Fn(&str) -> Snapshot,
    memory: impl Fn(&str) -> Memory,
) -> Vec<String> {
    let spec = spec(fields);
    let wanted = spec.revision.as_str();
    let told = decided(&spec, &seen(wanted), &memory(wanted));
    told.iter().map(|it| it.replace(wanted, "@")).collect()
}

#[test]
fn a_new_model_is_resolved_first() {
    let nothing = |_: &str| Snapshot::default();
    assert_eq!(
        moves(json!({}), nothing, |_| Memory::default()),
        ["resolve @"]
    );
    assert_eq!(
        moves(json!({"replicas": 3}), nothing, |r| memory([(r, locked())])),
        ["create @ 3"]
    );
}

#[test]
fn a_failed_resolve_waits_its_time() {
    // Attempts, seconds since the last, transient, whether it is tried again.
    let cases = [
        (1, 0, true, false),
        (1, 2, true, true),
        (5, 10, true, false),
        (5, 20, true, true),
        (1, 2, false, false),
        (1, 10, false, true),
        // The clock was set back since.
        (5, -3600, true, true),
    ];
    for (attempts, seconds, transient, tried) in cases {
        let known = RevisionMemory {
            failure: failed(attempts, seconds, transient),
            ..RevisionMemory::new(ago(100))
        };
        let spec = spec(json!({}));
        let memory = memory([(spec.revision.as_str(), known)]);
        let decision = decide(&spec, &Snapshot::default(), &memory, now());
        let case = format!("{attempts} {seconds} {transient}");
        assert_eq!(!decision.actions.is_empty(), tried, "{case}");
        assert_eq!(
            decision.wake_at.is_some_and(|at| at > now()),
            !tried,
            "{case}"
        );
    }
}

#[test]
fn traffic_comes_after_the_first_answer() {
    let world = |ready| move |r: &str| seen([(r, there(2, ready))], weights([]));
    let fields = json!({"replicas": 2});
    let known = |r: &str| memory([(r, locked())]);
    let answered = |r: &str| memory([(r, proven())]);
    assert!(moves(fields.clone(), world(0), known).is_empty());
    assert_eq!(moves(fields.clone(), world(1), known), ["probe @"]);
    assert_eq!(moves(fields, world(1), answered), [r#"traffic {"@": 100}"#]);
}

#[test]
fn blue_green_takes_over_with_as_many_as_serve() {
    let both = |r: &str| memory([("old", proven()), (r, proven())]);
    let shift = vec![r#"traffic {"@": 100}"#.to_owned()];
    // Old ones that serve, new ones that are ready, replicas wanted.
    for (old, new, wanted, moved) in [
        (3, 2, 3, false),
        (3, 3, 3, true),
        (5, 3, 3, true),
        (1, 1, 3, true),
        (0, 1, 3, true),
        (0, 0, 3, false),
    ] {
        let world = |r: &str| {
            let revisions = [("old", there(old, old)), (r, there(wanted, new))];
            seen(revisions, weights([("old", 100)]))
        };
        let told = moves(json!({"replicas": wanted}), world, both);
        assert_eq!(
            told,
            if moved { shift.clone() } else { vec![] },
            "{old} {new} {wanted}"
        );
    }
}

#[test]
fn weights_set_by_others_are_mended_without_a_loss() {
    let both = |r: &str| memory([("old", proven()), (r, proven())]);
    let split = |old, new, ready| {
        move |r: &str| {
            let revisions = [("old", there(2, 2)), (r, there(2, ready))];
            seen(revisions, weights([("old", old), (r, new)]))
        }
    };
    let fields = json!({"replicas": 2});
    for (old, new) in [(50, 50), (100, 100), (0, 60), (0, 100)] {
        let told = moves(fields.clone(), split(old, new, 2), both);
        assert_eq!(told[0], r#"traffic {"@": 100}"#, "{old} {new}");
        let told = moves(fields.clone(), split(old, new, 0), both);
        assert!(
            !told.iter().any(|it| it.starts_with("traffic")),
            "{old} {new}: {told:?}"
        );
    }
}

#[test]
fn an_old_revision_drains_before_it_goes() {
    // In flight, seconds it has drained of 30, whether it goes.
    for (in_flight, seconds, goes) in [
        (Some(0), 0, true),
        (Some(1), 0, false),
        (Some(1), 29, false),
        (Some(1), 30, true),
        (None, 29, false),
        (None, 31, true),
    ] {
        let world = |r: &str| {
            let revisions = [("old", busy(1, 1, in_flight)), (r, there(1, 1))];
            seen(revisions, weights([(r, 100)]))
        };
        let known = |r: &str| memory([("old", draining(ago(seconds))), (r, proven())]);
        let told = moves(json!({}), world, known);
        let expected: &[&str] = if goes { &["retire old"] } else { &[] };
        assert_eq!(told, expected, "{in_flight:?} after {seconds} s");
    }
}

#[test]
fn a_drain_begins_anew_when_the_clock_is_set_back() {
    let spec = spec(json!({}));
    let revisions = [("old", busy(1, 1, Some(1))), (&spec.revision, there(1, 1))];
    let world = seen(revisions, weights([(&spec.revision, 100)]));
    let known = memory([("old", draining(ago(-3600))), (&spec.revision, proven())]);
    let decision = decide(&spec, &world, &known, now());
    let noted = decision.memory.revisions["old"].draining_since;
    assert_eq!(noted, Some(now()));
    assert!(decision.wake_at.is_some_and(|at| at < ago(-60)));
}

#[test]
fn a_drain_noted_before_traffic_came_back_does_not_count() {
    let spec = spec(json!({}));
    let world = seen([("old", busy(1, 1, Some(3)))], weights([("old", 100)]));
    let stale = memory([("old", draining(ago(1000))), (&spec.revision, locked())]);
    for decision in [
        decide(&spec, &world, &stale, now()),
        decide_removal(&spec, &world, &stale, now()),
    ] {
        assert_eq!(decision.memory.revisions["old"].draining_since, None);
    }
}

#[test]
fn what_a_rollout_in_between_left_makes_room() {
    let none = weights([]);
    let serving = weights([("old", 100)]);
    let known = |r: &str| memory([("old", proven()), ("bad", locked()), (r, locked())]);
    let cases = [
        // A bad rollout beside one that serves: it goes, ready or not.
        (there(1, 1), there(1, 0), &serving, vec!["retire bad"]),
        (there(1, 1), there(1, 1), &serving, vec!["retire bad"]),
        // Nothing serves: what is ready is kept, what is not goes.
        (there(1, 0), there(1, 1), &serving, vec![]),
        (
            there(1, 0),
            there(1, 0),
            &none,
            vec!["retire bad", "retire old"],
        ),
        (there(1, 1), there(1, 0), &none, vec!["retire bad"]),
    ];
    for (old, bad, weights, expected) in cases {
        let world = |r: &str| {
            let revisions = [("old", old.clone()), ("bad", bad.clone()), (r, there(1, 0))];
            seen(revisions, weights.clone())
        };
        assert_eq!(
            moves(json!({}), world, known),
            expected,
            "{old:?} {bad:?} {weights:?}"
        );
    }
}

#[test]
fn recreate_waits_until_the_old_one_is_gone() {
    let fields = json!({"rollout": {"strategy": "recreate"}});
    let known = |r: &str| memory([("old", proven()), (r, locked())]);
    let serving = |_: &str| seen([("old", busy(1, 1, Some(2)))], weights([("old", 100)]));
    let shut = |_: &str| seen([("old", busy(1, 1, Some(2)))], weights([]));
    let idle = |_: &str| seen([("old", there(1, 1))], weights([]));
    let gone = |_: &str| Snapshot::default();
    assert_eq!(moves(fields.clone(), serving, known), ["traffic {}"]);
    assert!(moves(fields.clone(), shut, known).is_empty());
    assert_eq!(moves(fields.clone(), idle, known), ["retire old"]);
    assert_eq!(moves(fields, gone, known), ["create @ 1"]);
}

#[test]
fn stopping_takes_traffic_before_replicas() {
    for strategy in ["blueGreen", "recreate"] {
        let fields = json!({"replicas": 0, "rollout": {"strategy": strategy}});
        let world = |r: &str| seen([(r, busy(2, 2, Some(1)))], weights([(r, 100)]));
        let told = moves(fields, world, |r| memory([(r, proven())]));
        assert_eq!(told, ["traffic {}", "scale @ 2 0"], "{strategy}");
    }
}

fn sleeper(strategy: &str) -> Value {
    json!({
        "autoscaling": {"minReplicas": 0, "maxReplicas": 3, "idleAfter": "1m"},
        "rollout": {"strategy": strategy},
    })
}

#[test]
fn an_idle_model_is_shut_before_it_rests_and_is_woken_once() {
    for strategy in ["blueGreen", "recreate"] {
        let world = |waiting: u64, replica: RevisionSeen| {
            move |r: &str| Snapshot {
                gateways: Some(gateways(waiting, Some(60 * u64::from(waiting == 0)))),
                ..seen([(r, replica.clone())], weights([(r, 100)]))
            }
        };
        let known = |r: &str| memory([(r, proven())]);
        let told = |waiting, replica| moves(sleeper(strategy), world(waiting, replica), known);
        assert_eq!(told(0, idle(Some(60))), ["traffic {}", "scale @ 1 0"]);
        assert!(told(0, idle(Some(59))).is_empty());
        assert!(told(1, idle(Some(60))).is_empty());

        let asleep = |waiting: u64| {
            move |r: &str| Snapshot {
                gateways: Some(gateways(waiting, None)),
                ..seen([(r, there(0, 0))], weights([]))
            }
        };
        let told = |waiting| moves(sleeper(strategy), asleep(waiting), known);
        assert!(told(0).is_empty());
        assert_eq!(told(1), ["scale @ 0 1"]);
        assert_eq!(told(1000), ["scale @ 0 1"]);
    }
}

#[test]
fn an_idle_model_is_looked_at_again_when_it_may_rest() {
    let spec = spec(sleeper("auto"));
    let r = spec.revision.as_str();
    let wait = |gateways: Option<GatewaysSeen>, replica: Option<u64>| {
        let world = Snapshot {
            gateways,
            ..seen([(r, idle(replica))], weights([(r, 100)]))
        };
        let decision = decide(&spec, &world, &memory([(r, proven())]), now());
        assert!(decision.actions.is_empty());
        decision
            .wake_at
            .map(|at| at.duration_since(now()).as_secs())
    };
    assert_eq!(wait(Some(gateways(0, Some(20))), Some(50)), Some(40));
    assert_eq!(wait(Some(gateways(0, Some(50))), Some(20)), Some(40));
    assert_eq!(wait(Some(gateways(0, None)), Some(50)), Some(60));
    assert_eq!(wait(Some(gateways(0, Some(50))), None), Some(60));
    assert_eq!(wait(None, Some(50)), None, "nothing is to be expected");
}

#[test]
fn a_new_revision_is_tried_while_the_model_rests() {
    let known = |r: &str| memory([("old", draining(ago(1))), (r, locked())]);
    let beside = |new: Option<RevisionSeen>| {
        move |r: &str| {
            let mut world = seen([("old", there(0, 0))], weights([]));
            world
                .revisions
                .extend(new.clone().map(|new| (r.to_owned(), new)));
            world.gateways = Some(gateways(0, Some(999)));
            world
        }
    };
    let told = |new| moves(sleeper("auto"), beside(new), known);
    assert_eq!(told(None), ["create @ 1", "retire old"]);
    assert_eq!(told(Some(there(0, 0))), ["scale @ 0 1", "retire old"]);
}

#[test]
fn time_without_replicas_is_no_lack_of_progress() {
    let spec = spec(json!({"replicas": 2}));
    let revision = spec.revision.as_str();
    let asleep = seen([(revision, there(0, 0))], weights([]));
    for (known, since) in [(locked(), now()), (proven(), ago(100))] {
        let decision = decide(&spec, &asleep, &memory([(revision, known)]), now());
        assert_eq!(decision.memory.revisions[revision].created_at, since);
    }
}

#[test]
fn a_step_that_failed_and_is_not_needed_any_more_is_forgotten() {
    let spec = spec(json!({}));
    let revision = spec.revision.as_str();
    let known = RevisionMemory {
        failure: failed(3, 10, false),
        ..proven()
    };
    let world = seen([(revision, there(1, 1))], weights([(revision, 100)]));
    let decision = decide(&spec, &world, &memory([(revision, known)]), now());
    assert_eq!(decision.memory.revisions[revision].failure, None);
}

#[test]
fn removal_shuts_then_drains_then_retires() {
    let spec = spec(json!({}));
    let gone =
        |seen: &Snapshot, memory: &Memory| actions(&decide_removal(&spec, seen, memory, now()));
    let known = memory([("old", draining(ago(10)))]);
    let serving = seen([("old", busy(1, 1, Some(1)))], weights([("old", 100)]));
    let shut = seen([("old", busy(1, 1, Some(1)))], weights([]));
    let idle = seen([("old", there(1, 1))], weights([]));
    assert_eq!(gone(&serving, &known), ["traffic {}"]);
    assert!(gone(&shut, &known).is_empty());
    assert_eq!(
        gone(&shut, &memory([("old", draining(ago(30)))])),
        ["retire old"]
    );
    assert_eq!(gone(&idle, &known), ["retire old"]);
    assert!(gone(&Snapshot::default(), &known).is_empty());
}
