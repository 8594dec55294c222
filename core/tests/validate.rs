//! Which specs make sense, what the others are told, and what defaults are.

mod common;

use std::time::Duration;

use chandler_core::validate::{Replicas, TakeOver, Validated, validate};
use common::{object, spec};
use serde_json::{Value, json};

#[test]
fn each_invalid_field_is_told_with_what_to_write_instead() {
    let cases = [
        (
            json!({"model": {"source": "file://models/a"}}),
            "spec.model.source",
            "an absolute path",
        ),
        (
            json!({"model": {"source": "hf://a/b", "task": "rerank"}}),
            "spec.model.task",
            "write auto, chat",
        ),
        (json!({"replicas": -1}), "spec.replicas", "write 0 or more"),
        (
            json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}),
            "spec.replicas",
            "remove one of the two",
        ),
        (
            json!({"autoscaling": {"minReplicas": -2, "maxReplicas": 3}}),
            "spec.autoscaling.minReplicas",
            "write 0 or more",
        ),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": -3}}),
            "spec.autoscaling.maxReplicas",
            "write 0 or more",
        ),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 0}}),
            "spec.autoscaling.maxReplicas",
            "write 1 or more",
        ),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3, "idleAfter": "0s"}}),
            "spec.autoscaling.idleAfter",
            "write such as 5m",
        ),
        (
            json!({"autoscaling": {"maxReplicas": 3, "idleAfter": "-5m"}}),
            "spec.autoscaling.idleAfter",
            "is below 1s",
        ),
        (
            json!({"autoscaling": {"minReplicas": 5, "maxReplicas": 3}}),
            "spec.autoscaling.minReplicas",
            "lower the one",
        ),
        (
            floors(&[
                ("0 8 * * *", "0 18 * * *", "UTC", 2),
                ("0 8 * * *", "0 18 * * *", "UTC", 4),
            ]),
            "spec.autoscaling.schedule.minReplicas",
            "floor 2: 4 is above maxReplicas 3: lower the one",
        ),
        (
            floors(&[("0 8 * * *", "0 18 * * *", "UTC", 0)]),
            "spec.autoscaling.schedule.minReplicas",
            "floor 1: 0 is below 1: write 1 or more",
        ),
        (
            floors(&[("0 25 * * *", "0 18 * * *", "UTC", 2)]),
            "spec.autoscaling.schedule.start",
            "floor 1: start `0 25 * * *` `25` is no hour: write 0 to 23",
        ),
        (
            floors(&[("0 8 * * *", "18:00", "UTC", 2)]),
            "spec.autoscaling.schedule.end",
            "end `18:00` has 1 fields: write five",
        ),
        (
            floors(&[("0 8 30 2 *", "0 18 * * *", "UTC", 2)]),
            "spec.autoscaling.schedule.start",
            "never comes",
        ),
        (
            floors(&[("0 8 * * *", "0 8 * * *", "UTC", 2)]),
            "spec.autoscaling.schedule.end",
            "write an end that comes later",
        ),
        (
            floors(&[("0 8 * * *", "0 18 * * *", "CEST", 2)]),
            "spec.autoscaling.schedule.timeZone",
            "`CEST` is not in the IANA database: write such as Europe/Berlin",
        ),
        (
            json!({"rollout": {"strategy": "blueGreen", "steps": [{"weight": 10}]}}),
            "spec.rollout.steps",
            "the strategy is blueGreen: remove them",
        ),
        (
            json!({"rollout": {"steps": [{"weight": 50}, {"weight": 10}]}}),
            "spec.rollout.steps",
            "weights that rise",
        ),
        (
            json!({"rollout": {"steps": [{"weight": 0}]}}),
            "spec.rollout.steps",
            "each from 1 to 100",
        ),
        (
            json!({"rollout": {"steps": [{"weight": 10}, {"weight": 100, "hold": "1m"}]}}),
            "spec.rollout.steps",
            "put the hold on the step before",
        ),
        (
            json!({"rollout": {"progressDeadline": "-5s"}}),
            "spec.rollout.progressDeadline",
            "write such as 10m",
        ),
        (
            json!({"rollout": {"promote": "a", "abort": "a"}}),
            "spec.rollout.promote",
            "remove one of the two",
        ),
        (
            json!({"rollout": {"strategy": "blueGreen", "analysis": {"maxErrorRate": 0.1}}}),
            "spec.rollout.analysis",
            "write strategy: canary",
        ),
        (
            json!({"rollout": {"analysis": {"minRequests": 10}}}),
            "spec.rollout.analysis",
            "needs a limit",
        ),
        (
            json!({"rollout": {"analysis": {"maxErrorRate": 1.0}}}),
            "spec.rollout.analysis",
            "above 0 and below 1",
        ),
        (
            json!({"rollout": {"analysis": {"maxTtftP95Ratio": 1.0}}}),
            "spec.rollout.analysis",
            "at least 1.05",
        ),
        (
            json!({"rollout": {"analysis": {"minTokensPerSecondRatio": 0.96}}}),
            "spec.rollout.analysis",
            "at most 0.95",
        ),
        (
            json!({"rollout": {"evaluation": [{"name": "a", "suiteRef": {"name": "b"}, "metric": "bleu"}]}}),
            "spec.rollout.evaluation",
            "needs a limit",
        ),
        (
            json!({"rollout": {"evaluation": [{"name": "a b", "suiteRef": {"name": "b"}, "metric": "bleu", "min": 3}]}}),
            "spec.rollout.evaluation",
            "is no name",
        ),
        (
            json!({"rollout": {"evaluation": [{"name": "a", "suiteRef": {"name": "b"}, "metric": "embeddingSimilarity", "min": 0.5}]}}),
            "spec.rollout.evaluation",
            "as embeddingModelRef.name",
        ),
        (
            json!({"rollout": {"evaluation": [
                {"name": "a", "suiteRef": {"name": "b"}, "metric": "bleu", "min": 3, "embeddingModelRef": {"name": "e"}},
            ]}}),
            "spec.rollout.evaluation",
            "bleu makes no use of",
        ),
        (
            json!({"rollout": {"strategy": "recreate", "evaluation": [
                {"name": "a", "suiteRef": {"name": "b"}, "metric": "bleu", "min": 3},
            ]}}),
            "spec.rollout.evaluation",
            "write canary or blueGreen",
        ),
        (
            json!({"rollout": {"evaluation": [
                {"name": "a", "suiteRef": {"name": "b"}, "metric": "bleu", "min": 3},
                {"name": "a", "suiteRef": {"name": "c"}, "metric": "bleu", "maxRegression": 3},
            ]}}),
            "spec.rollout.evaluation",
            "two named `a`",
        ),
        (
            json!({"rollout": {"shadow": {"percent": 0, "maxDifferent": 0.2}}}),
            "spec.rollout.shadow",
            "write 1 to 100",
        ),
        (
            json!({"rollout": {"shadow": {"percent": 5, "maxDifferent": 1.0}}}),
            "spec.rollout.shadow",
            "write such as 0.2",
        ),
        (
            json!({"rollout": {"shadow": {"percent": 5, "maxDifferent": 0.2, "similarity": 1.5}}}),
            "spec.rollout.shadow",
            "write such as 0.5",
        ),
        (
            json!({"rollout": {"strategy": "recreate", "shadow": {"percent": 5, "maxDifferent": 0.2}}}),
            "spec.rollout.shadow",
            "write canary or blueGreen",
        ),
        (
            json!({"server": {"drainSeconds": -1}}),
            "spec.server.drainSeconds",
            "write 0 or more seconds",
        ),
        (
            json!({"server": {"requestTimeout": "0s"}}),
            "spec.server.requestTimeout",
            "1s to 24h",
        ),
        (
            json!({"server": {"requestTimeout": "-90s"}}),
            "spec.server.requestTimeout",
            "-90s",
        ),
    ];
    for (fields, field, hint) in cases {
        let invalid = validate(&object(fields.clone())).expect_err(&fields.to_string());
        let told: Vec<_> = invalid.iter().filter(|it| it.field == field).collect();
        assert_eq!(told.len(), 1, "{fields}: {invalid:?}");
        assert!(told[0].message.contains(hint), "{fields}: {invalid:?}");
        assert!(told[0].to_string().contains(field), "{invalid:?}");
    }
}

#[test]
fn tasks_that_servers_do_are_taken() {
    for task in ["auto", "chat", "completion", "embedding", "classification"] {
        let model = json!({"model": {"source": "hf://a/b", "task": task}});
        assert!(validate(&object(model)).is_ok(), "{task}");
    }
}

/// A model of at most three replicas with these floors.
fn floors(floors: &[(&str, &str, &str, i32)]) -> Value {
    let floors = floors.iter().map(|(start, end, zone, replicas)| {
        json!({"start": start, "end": end, "timeZone": zone, "minReplicas": replicas})
    });
    json!({"autoscaling": {"maxReplicas": 3, "schedule": floors.collect::<Vec<_>>()}})
}

#[test]
fn a_floor_without_a_zone_is_in_utc() {
    let schedule = |zone: Value| {
        let floor =
            json!({"start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 2, "timeZone": zone});
        spec(json!({"autoscaling": {"maxReplicas": 3, "schedule": [floor]}})).schedule
    };
    assert_eq!(schedule(Value::Null), schedule(json!("UTC")));
    assert_ne!(schedule(Value::Null), schedule(json!("Asia/Kolkata")));
}

#[test]
fn all_invalid_fields_are_told_at_once() {
    let mut object = object(json!({"replicas": -1, "server": {"drainSeconds": -1}}));
    object.metadata.name = None;
    let invalid = validate(&object).expect_err("invalid");
    let fields: Vec<_> = invalid.iter().map(|it| it.field).collect();
    assert_eq!(
        fields,
        ["metadata.name", "spec.replicas", "spec.server.drainSeconds"]
    );
}

#[test]
fn defaults_are_applied() {
    let spec = spec(json!({}));
    assert_eq!(spec.key.to_string(), "default/chat");
    assert_eq!(spec.generation, 7);
    assert_eq!(spec.served_name, "chat");
    assert_eq!(spec.replicas, Replicas::Fixed(1));
    assert_eq!(spec.rollout.strategy, TakeOver::BlueGreen);
    assert_eq!(spec.rollout.progress_deadline, Duration::from_secs(600));
    assert_eq!(spec.history, 10);
    assert_eq!(spec.worker.drain(), Duration::from_secs(30));
    assert_eq!(spec.request_timeout, Duration::from_secs(600));
    assert!(!spec.paused);
}

#[test]
fn what_is_written_wins_over_defaults() {
    let spec = spec(json!({
        "model": {"source": "hf://a/b", "revision": "v1", "servedName": "a/b"},
        "autoscaling": {"maxReplicas": 3},
        "rollout": {"strategy": "recreate", "progressDeadline": "5s"},
        "server": {"drainSeconds": 0, "requestTimeout": "1m30s"},
        "paused": true,
    }));
    assert_eq!(spec.request_timeout, Duration::from_secs(90));
    assert_eq!(spec.served_name, "a/b");
    assert_eq!(spec.worker.source_revision(), Some("v1"));
    assert_eq!(spec.replicas, scaled(1, 3, None));
    assert_eq!(spec.rollout.strategy, TakeOver::Recreate);
    assert_eq!(spec.rollout.progress_deadline, Duration::from_secs(5));
    assert_eq!(spec.worker.drain(), Duration::ZERO);
    assert!(spec.paused);
}

fn scaled(min: u32, max: u32, idle_after: Option<u64>) -> Replicas {
    Replicas::Scaled {
        min,
        max,
        idle_after: idle_after.map(Duration::from_secs),
    }
}

#[test]
fn only_a_model_without_a_fewest_rests() {
    for (fields, expected) in [
        (json!({"minReplicas": 0, "maxReplicas": 3}), Some(300)),
        (
            json!({"minReplicas": 0, "maxReplicas": 3, "idleAfter": "1m"}),
            Some(60),
        ),
        (
            json!({"minReplicas": 1, "maxReplicas": 3, "idleAfter": "1m"}),
            None,
        ),
    ] {
        let min = u32::from(expected.is_none());
        let spec = spec(json!({"autoscaling": fields}));
        assert_eq!(spec.replicas, scaled(min, 3, expected), "{fields}");
    }
}

#[test]
fn a_revision_is_what_changes_a_replica_and_nothing_else() {
    let revision = |fields: Value| spec(fields).revision;
    let first = revision(json!({}));
    for same in [
        json!({"replicas": 5}),
        json!({"autoscaling": {"maxReplicas": 3}}),
        json!({"rollout": {"strategy": "recreate"}}),
        json!({"paused": true}),
        json!({"server": {"requestTimeout": "90s"}}),
    ] {
        assert_eq!(revision(same.clone()), first, "{same}");
    }
    for other in [
        json!({"model": {"source": "file:///models/b"}}),
        json!({"model": {"source": "file:///models/a", "servedName": "b"}}),
        json!({"model": {"source": "file:///models/a", "maxModelLen": 10}}),
        json!({"server": {"maxBatch": 2}}),
    ] {
        assert_ne!(revision(other.clone()), first, "{other}");
    }
    assert_eq!(first.len(), 10);
}

/// Weights and holds in seconds of a canary's steps.
fn steps(spec: &Validated) -> Vec<(u32, u64)> {
    let steps = spec.rollout.steps.iter();
    let steps = steps.map(|step| (step.weight, step.hold.as_secs()));
    steps.collect()
}

#[test]
fn steps_make_a_canary() {
    let written = json!([{"weight": 5, "hold": "1m"}, {"weight": 30}, {"weight": 100}]);
    for (rollout, expected) in [
        (json!({"steps": written}), vec![(5, 60), (30, 0)]),
        (json!({"strategy": "canary"}), vec![(10, 120), (50, 120)]),
        (
            json!({"strategy": "canary", "steps": []}),
            vec![(10, 120), (50, 120)],
        ),
    ] {
        let spec = spec(json!({"rollout": rollout}));
        assert_eq!(spec.rollout.strategy, TakeOver::Canary, "{rollout}");
        assert_eq!(steps(&spec), expected, "{rollout}");
        assert_eq!(spec.rollout.last_step(), 3);
        assert_eq!(spec.rollout.weight(0), 0);
        assert_eq!(spec.rollout.weight(3), 100);
    }
}

#[test]
fn one_out_first_has_the_steps_that_are_asked_for() {
    let analysis = json!({"maxErrorRate": 0.1});
    for (rollout, expected) in [
        (json!({}), vec![]),
        (
            json!({"steps": [{"weight": 25, "hold": "1m"}]}),
            vec![(25, 60)],
        ),
        (json!({"analysis": analysis}), vec![(10, 120), (50, 120)]),
    ] {
        let mut rollout = rollout;
        rollout["strategy"] = json!("oneOutFirst");
        let spec = spec(json!({"rollout": rollout}));
        assert_eq!(spec.rollout.strategy, TakeOver::OneOutFirst);
        assert!(!spec.rollout.auto);
        assert_eq!(steps(&spec), expected, "{rollout}");
    }
    assert!(
        spec(json!({})).rollout.auto,
        "what is not written is chosen"
    );
}

#[test]
fn a_policy_is_another_if_it_judges_otherwise() {
    let hash = |rollout: Value| spec(json!({"rollout": rollout})).rollout.hash;
    let first = hash(json!({}));
    for same in [
        json!({"paused": true}),
        json!({"promote": "a"}),
        json!({"abort": "a"}),
        json!({"onFailure": "hold"}),
    ] {
        assert_eq!(hash(same.clone()), first, "{same}");
    }
    for other in [
        json!({"attempt": 1}),
        json!({"steps": [{"weight": 10}]}),
        json!({"progressDeadline": "1m"}),
    ] {
        assert_ne!(hash(other.clone()), first, "{other}");
    }
}

#[test]
fn a_revision_is_made_again_from_what_it_was_made_from() {
    let old = spec(json!({
        "model": {"source": "hf://a/b", "servedName": "b"}, "server": {"drainSeconds": 3},
    }));
    let new = spec(json!({"replicas": 3, "paused": true}));
    let again = new
        .with_revision(&old.revision, &old.template)
        .expect("the same");
    assert_eq!(again.worker, old.worker);
    assert_eq!(again.served_name, "b");
    assert_eq!(again.replicas, new.replicas);
    assert!(again.paused);
    assert_eq!(new.with_revision("0123456789", &old.template), None);
}
