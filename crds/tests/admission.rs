//! What manifests are admitted, and what the refusals say.

use chandler_crds::admission::{Refusal, admit};
use serde_json::{Value, json};

fn manifest(spec: &Value) -> Value {
    json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "chat"},
        "spec": spec,
    })
}

fn refusals(manifest: &Value) -> Vec<Refusal> {
    admit(manifest).expect_err("must be refused")
}

/// The one refusal at `path`, or a failure that shows all of them.
fn refusal_at(manifest: &Value, path: &str) -> String {
    let all = refusals(manifest);
    let at: Vec<_> = all.iter().filter(|refusal| refusal.path == path).collect();
    assert_eq!(at.len(), 1, "{all:#?}");
    at[0].message.clone()
}

#[test]
fn the_smallest_manifest_is_admitted() {
    let object = admit(&manifest(&json!({"model": {"source": "hf://org/name"}}))).expect("good");
    assert_eq!(object.spec.model.source, "hf://org/name");
    assert_eq!(object.spec.replicas, None);
}

#[test]
fn a_manifest_with_every_field_is_admitted() {
    let spec = json!({
        "model": {
            "source": "s3://bucket/prefix", "revision": "main", "task": "chat", "servedName": "a/b:c",
            "dtype": "bf16", "maxModelLen": 4096, "credentialsSecretRef": {"name": "s3"},
            "cache": {"kind": "persistentVolumeClaim", "claimName": "models"}
        },
        "server": {
            "image": "example/server:1", "device": "cuda", "resources": {"limits": {"nvidia.com/gpu": 1}},
            "maxBatch": 8, "maxQueue": 100, "drainSeconds": 30, "requestTimeout": "1h30m",
            "nodeSelector": {"gpu": "yes"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}], "priorityClassName": "high",
            "runtimeClassName": "nvidia", "serviceAccountName": "serving"
        },
        "autoscaling": {
            "minReplicas": 0, "maxReplicas": 8, "idleAfter": "5m",
            "targets": {"queueWaiting": 2, "ttftP95": "2s", "latencyP95": "10s", "kvCacheUsage": 80, "concurrency": 4},
            "behavior": {"scaleUp": {"maxStep": 4}, "scaleDown": {"stabilization": "5m"}},
            "schedule": [{"start": "0 8 * * *", "end": "0 18 * * *", "timeZone": "Europe/Berlin", "minReplicas": 2}]
        },
        "rollout": {
            "strategy": "canary", "steps": [{"weight": 10, "hold": "2m"}],
            "analysis": {"maxErrorRate": 0.01, "maxTtftP95Ratio": 1.2, "maxLatencyP95Ratio": 1.2, "minRequests": 50},
            "evaluation": [{"name": "facts", "suiteRef": {"name": "facts"}, "metric": "exactMatch", "min": 0.9, "maxRegression": 0.02}],
            "onFailure": "hold", "progressDeadline": "10m", "paused": false, "promote": "0a1b2c3d4e",
            "abort": "1a1b2c3d4e", "attempt": 1
        },
        "revisionHistoryLimit": 5,
        "paused": false
    });
    let object = admit(&manifest(&spec)).expect("good");
    let written = serde_json::to_value(&object.spec).expect("serialises");
    assert_eq!(
        admit(&manifest(&written)).expect("its own form is good"),
        object
    );
}

#[test]
fn replicas_and_autoscaling_exclude_each_other() {
    let both = manifest(&json!({
        "model": {"source": "hf://org/name"}, "replicas": 2, "autoscaling": {"maxReplicas": 3}
    }));
    let message = refusal_at(&both, "spec");
    assert!(
        message.contains("remove replicas") && message.contains("remove autoscaling"),
        "{message}"
    );
}

#[test]
fn an_unknown_field_is_told_with_the_known_ones() {
    let top = manifest(&json!({"modle": {}, "model": {"source": "hf://org/name"}}));
    assert!(
        refusal_at(&top, "spec.modle").contains("model, "),
        "{}",
        refusal_at(&top, "spec.modle")
    );
    let mut root = manifest(&json!({"model": {"source": "hf://org/name"}}));
    root["sepc"] = json!({});
    assert!(refusal_at(&root, "sepc").contains("spec"));
    let deep = manifest(&json!({"model": {"source": "hf://org/name"}, "server": {"gpu": 1}}));
    assert!(refusal_at(&deep, "spec.server.gpu").contains("device"));
}

#[test]
fn bad_values_are_told_with_what_to_write() {
    let cases = [
        (
            json!({"model": {"source": "org/name"}}),
            "spec.model.source",
            "hf://org/name",
        ),
        (
            json!({"model": {"source": "ftp://org/name"}}),
            "spec.model.source",
            "https://",
        ),
        (
            json!({"model": {"source": "hf://org/name", "maxModelLen": 0}}),
            "spec.model.maxModelLen",
            "at least 1",
        ),
        (
            json!({"model": {"source": "hf://org/name", "servedName": "a b"}}),
            "spec.model.servedName",
            "letters",
        ),
        (
            json!({"model": {"source": "hf://org/name", "revision": ""}}),
            "spec.model.revision",
            "main",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "replicas": -1}),
            "spec.replicas",
            "0 to 10000",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "server": {"drainSeconds": -1}}),
            "spec.server.drainSeconds",
            "0 to",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "server": {"requestTimeout": "100ms"}}),
            "spec.server.requestTimeout",
            "1s to 24h",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "server": {"requestTimeout": "25h"}}),
            "spec.server.requestTimeout",
            "such as 90s",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "autoscaling": {"minReplicas": 3, "maxReplicas": 2}}),
            "spec.autoscaling",
            "minReplicas",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "autoscaling": {"maxReplicas": 2, "idleAfter": "999ms"}}),
            "spec.autoscaling.idleAfter",
            "at least 1s",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "autoscaling": {"maxReplicas": 2, "schedule": [
                {"start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 2},
                {"start": "0 12 * * *", "end": "0 13 * * *", "minReplicas": 3},
            ]}}),
            "spec.autoscaling",
            "minReplicas of the schedule",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "rollout": {"promote": "a", "abort": "a"}}),
            "spec.rollout",
            "remove one of the two",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "rollout": {"progressDeadline": "0s"}}),
            "spec.rollout.progressDeadline",
            "write such as 10m",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "rollout": {"attempt": -1}}),
            "spec.rollout.attempt",
            "write 0 or more",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "revisionHistoryLimit": 51}),
            "spec.revisionHistoryLimit",
            "from 0 to 50",
        ),
        (
            json!({"model": {"source": "hf://org/name"}, "rollout": {"steps": [{"weight": 0}]}}),
            "spec.rollout.steps[0].weight",
            "percent",
        ),
        (
            json!({"model": {"source": "hf://org/name", "cache": {"kind": "persistentVolumeClaim"}}}),
            "spec.model.cache",
            "claimName",
        ),
    ];
    for (spec, path, hint) in cases {
        let message = refusal_at(&manifest(&spec), path);
        assert!(message.contains(hint), "{path}: {message}");
    }
}

#[test]
fn wrong_types_are_told_by_path() {
    let all = refusals(&manifest(
        &json!({"model": {"source": "hf://org/name"}, "replicas": "two"}),
    ));
    assert!(
        all.iter()
            .any(|refusal| refusal.path == "spec.replicas" && refusal.message.contains("two")),
        "{all:#?}"
    );
    let task = refusals(&manifest(
        &json!({"model": {"source": "hf://org/name", "task": "sing"}}),
    ));
    assert!(
        task.iter()
            .any(|refusal| refusal.path == "spec.model.task"
                && refusal.message.contains("embedding")),
        "{task:#?}"
    );
    let none = refusals(&manifest(&json!({})));
    assert!(
        none.iter().any(|refusal| refusal.message.contains("model")),
        "{none:#?}"
    );
}

#[test]
fn a_wrong_kind_or_name_is_told() {
    let mut wrong = manifest(&json!({"model": {"source": "hf://org/name"}}));
    wrong["kind"] = json!("Deployment");
    wrong["metadata"]["name"] = json!("Chat_1");
    let all = refusals(&wrong);
    assert!(all[0].message.contains("ModelDeployment"), "{all:#?}");
    assert_eq!(all[1].path, "metadata.name");
    for other in [json!(null), json!(7), json!([]), json!({"spec": 1})] {
        assert!(!refusals(&other).is_empty());
    }
}

#[test]
fn the_crd_is_small_and_whole() {
    let yaml = chandler_crds::crd_yaml().expect("serialises");
    assert!(yaml.len() < 100_000, "{} bytes", yaml.len());
    for needle in [
        "shortNames:\n    - mdl",
        "specReplicasPath: .spec.replicas",
        "labelSelectorPath",
        "x-kubernetes-validations",
        "x-kubernetes-list-map-keys",
    ] {
        assert!(yaml.contains(needle), "{needle} is missing");
    }
}

#[test]
fn a_whole_number_is_a_ratio_as_well() {
    let spec = json!({
        "model": {"source": "hf://org/name"},
        "rollout": {"analysis": {"maxTtftP95Ratio": 2}}
    });
    admit(&manifest(&spec)).expect("good");
    let wrong = json!({
        "model": {"source": "hf://org/name"},
        "rollout": {"analysis": {"maxErrorRate": 2}}
    });
    let message = refusal_at(&manifest(&wrong), "spec.rollout.analysis.maxErrorRate");
    assert!(message.contains("share"), "{message}");
}
