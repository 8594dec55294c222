//! Answers are judged by a Job.

use chandler_crds::names::labels;
use chandler_crds::report::Report;
use chandler_crds::spec::{Evaluation, EvaluationMetric};
use chandler_crds::status::{CheckVerdict, EvaluationStatus};

use super::*;

const STABLE: &str = "stable";

fn evaluation(min: f64) -> Evaluation {
    let suite =
        json!({"name": "facts", "suiteRef": {"name": "facts"}, "metric": "contains", "min": min});
    serde_json::from_value(suite).unwrap()
}

fn evaluate(model: &Fixture, min: f64) -> Action {
    Action::Evaluate {
        revision: model.revision.clone(),
        from: STABLE.to_owned(),
        evaluations: vec![evaluation(min)],
    }
}

/// A ready replica of a revision.
fn replica(model: &Fixture, revision: &str, ip: &str) {
    let labels = json!({labels::MODEL: "chat", labels::REVISION: revision, labels::COMPONENT: labels::SERVER});
    let pod = json!({
        "metadata": {"name": revision, "labels": labels},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    model.fake.set(&format!("pods/{revision}"), &pod);
}

/// The Job's pod, which has ended with this.
fn end(model: &Fixture, exit_code: i32, report: &Report) {
    let job = model.fake.get(&model.path("jobs"));
    let state =
        json!({"terminated": {"exitCode": exit_code, "message": report.to_line().unwrap()}});
    let pod = json!({
        "metadata": {"name": "p", "labels": job["metadata"]["labels"],
            "ownerReferences": owner("Job", "j", job["metadata"]["uid"].as_str().unwrap())},
        "spec": job["spec"]["template"]["spec"],
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "evaluate", "image": "i",
            "imageID": "i", "ready": false, "restartCount": 0, "state": state}]},
    });
    model.fake.set("pods/p", &pod);
}

async fn asked() -> Fixture {
    let model = Fixture::made().await;
    replica(&model, &model.revision.clone(), "10.0.0.2");
    replica(&model, STABLE, "10.0.0.1");
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&evaluate(&model, 0.5)).await, pending);
    assert_eq!(model.perform(&evaluate(&model, 0.5)).await, pending);
    model
}

#[tokio::test]
async fn the_last_words_of_its_pod_are_the_verdict() {
    let model = asked().await;
    let job = model.fake.get(&model.path("jobs"));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<_> = container["args"].as_array().unwrap().iter().collect();
    for address in ["http://10.0.0.2:8000", "http://10.0.0.1:8000"] {
        assert!(args.contains(&&json!(address)), "{args:?}");
    }
    let found = vec![EvaluationStatus {
        name: "facts".to_owned(),
        metric: EvaluationMetric::Contains,
        verdict: CheckVerdict::Passed,
        items: 40,
        canary: 0.8,
        stable: 0.8,
        low: None,
        high: None,
        digest: "0123456789ab".to_owned(),
    }];
    let report = Report::Evaluated {
        evaluations: found.clone(),
    };
    end(&model, 0, &report);
    // Twice: it may have to be read again after a crash.
    for _ in 0..2 {
        let outcome = model.perform(&evaluate(&model, 0.5)).await;
        assert_eq!(outcome, Outcome::Evaluated(found.clone()));
    }
    // What is asked otherwise is asked anew.
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&evaluate(&model, 0.9)).await, pending);
    assert!(!model.fake.names().contains(&model.path("jobs")));
    assert_eq!(model.perform(&evaluate(&model, 0.9)).await, pending);
    assert!(model.fake.names().contains(&model.path("jobs")));
}

#[tokio::test]
async fn a_failure_is_told_and_the_next_try_is_a_new_job() {
    let model = asked().await;
    let report = Report::Failed {
        reason: "SuiteInvalid".to_owned(),
        message: "line 2".to_owned(),
        transient: false,
    };
    end(&model, 1, &report);
    let told = failed(model.perform(&evaluate(&model, 0.5)).await);
    assert_eq!(told, ("SuiteInvalid".to_owned(), false));
    assert!(!model.fake.names().contains(&model.path("jobs")));
}

#[tokio::test]
async fn nobody_is_asked_while_one_of_them_is_away() {
    let model = Fixture::made().await;
    replica(&model, &model.revision.clone(), "10.0.0.2");
    assert_eq!(
        failed(model.perform(&evaluate(&model, 0.5)).await),
        conflict()
    );
}

#[tokio::test]
async fn a_model_that_makes_vectors_is_asked_where_one_of_its_replicas_is() {
    let model = Fixture::made().await;
    replica(&model, &model.revision.clone(), "10.0.0.2");
    replica(&model, STABLE, "10.0.0.1");
    let meaning = json!({"name": "meaning", "suiteRef": {"name": "facts"}, "metric": "embeddingSimilarity",
        "min": 0.5, "embeddingModelRef": {"name": "vectors"}});
    let action = Action::Evaluate {
        revision: model.revision.clone(),
        from: STABLE.to_owned(),
        evaluations: vec![serde_json::from_value(meaning).unwrap()],
    };
    let unavailable = ("EmbeddingModelUnavailable".to_owned(), true);
    assert_eq!(failed(model.perform(&action).await), unavailable);
    let labels = json!({labels::MODEL: "vectors", labels::REVISION: "r1", labels::COMPONENT: labels::SERVER,
        labels::POD_TEMPLATE_HASH: "t1"});
    let mut pod = json!({
        "metadata": {"name": "v", "labels": labels, "ownerReferences": owner("ReplicaSet", "theirs-t1", "u")},
        "status": {"podIP": "10.0.0.3", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    model.fake.set("pods/v", &pod);
    assert_eq!(
        failed(model.perform(&action).await),
        unavailable,
        "borrowed labels"
    );
    pod["metadata"]["ownerReferences"] = owner("ReplicaSet", "vectors-r1-t1", "u");
    model.fake.set("pods/v", &pod);
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&action).await, pending);
    let job = model.fake.get(&model.path("jobs"));
    let args = &job["spec"]["template"]["spec"]["containers"][0]["args"];
    let args: Vec<String> = serde_json::from_value(args.clone()).unwrap();
    assert_eq!(
        args[args.len() - 2..],
        ["--embeddings", "vectors=http://10.0.0.3:8000"]
    );
}
