//! A source is resolved by a Job.

use chandler_crds::report::Report;

use super::*;

/// The Job's pod, whose container is in this state.
fn pod(model: &Fixture, state: &Value) -> Value {
    let job = model.fake.get(&model.path("jobs"));
    json!({
        "metadata": {"name": "p", "labels": job["metadata"]["labels"],
            "ownerReferences": owner("Job", "j", job["metadata"]["uid"].as_str().unwrap())},
        "spec": job["spec"]["template"]["spec"],
        "status": {"phase": "Running", "containerStatuses": [{"name": "resolve", "image": "i",
            "imageID": "i", "ready": false, "restartCount": 0, "state": state}]},
    })
}

fn ended(exit_code: i32, report: &Report) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": "Error",
        "message": report.to_line().unwrap()}})
}

#[tokio::test]
async fn the_last_words_of_its_pod_are_the_lock() {
    let model = Fixture::new();
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&model.resolve()).await, pending);
    assert_eq!(model.fake.names(), [model.path("jobs")]);
    assert_eq!(model.perform(&model.resolve()).await, pending);
    let found = ended(0, &Report::Resolved { lock: lock() });
    model.fake.set("pods/p", &pod(&model, &found));
    // Twice: it may have to be read again after a crash.
    for _ in 0..2 {
        assert_eq!(
            model.perform(&model.resolve()).await,
            Outcome::Resolved(lock())
        );
    }
    assert_eq!(model.fake.log(), [format!("apply {}", model.path("jobs"))]);
}

#[tokio::test]
async fn a_failure_is_told_and_the_next_try_is_a_new_job() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    let report = Report::Failed {
        reason: "NotFound".to_owned(),
        message: "the hub has no org/name".to_owned(),
        transient: false,
    };
    model.fake.set("pods/p", &pod(&model, &ended(65, &report)));
    let told = Failure {
        reason: "NotFound".to_owned(),
        message: "the hub has no org/name".to_owned(),
        transient: false,
    };
    assert_eq!(model.perform(&model.resolve()).await, Outcome::Failed(told));
    assert_eq!(model.fake.names(), ["pods/p"]);
    // The old Job's pod may still be there and is not the new one's.
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&model.resolve()).await, pending);
    assert_eq!(model.perform(&model.resolve()).await, pending);
}

#[tokio::test]
async fn what_holds_it_up_is_told_while_it_waits() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff",
        "message": "Back-off pulling image \"i\": ErrImagePull: no such image"}});
    model.fake.set("pods/p", &pod(&model, &waiting));
    let Outcome::Pending {
        blocked: Some(blocked),
    } = model.perform(&model.resolve()).await
    else {
        panic!("nothing holds it up");
    };
    assert_eq!(blocked.reason, "ImagePullBackOff");
    assert!(
        blocked.message.ends_with("no such image"),
        "{}",
        blocked.message
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    let first = model.fake.get(&model.path("jobs"));
    let complete = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    model.fake.set(&model.path("jobs"), &complete);
    let pending = Outcome::Pending { blocked: None };
    assert_eq!(model.perform(&model.resolve()).await, pending);
    let second = model.fake.get(&model.path("jobs"));
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["status"], Value::Null);
}

#[tokio::test]
async fn a_job_that_takes_too_long_fails_and_goes() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    let late = json!({"status": {"conditions": [{"type": "Failed", "status": "True",
        "reason": "DeadlineExceeded", "message": "Job was active longer than specified"}]}});
    model.fake.set(&model.path("jobs"), &late);
    let (reason, transient) = failed(model.perform(&model.resolve()).await);
    assert_eq!((reason.as_str(), transient), ("DeadlineExceeded", true));
    assert_eq!(model.fake.names(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_answers_otherwise_is_told_as_the_wrong_one() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    let other = json!({"terminated": {"exitCode": 0, "message": "hello"}});
    model.fake.set("pods/p", &pod(&model, &other));
    let (reason, transient) = failed(model.perform(&model.resolve()).await);
    assert_eq!((reason.as_str(), transient), ("ResolveUnreadable", false));
}

#[tokio::test]
async fn a_folder_of_one_machine_is_refused_in_words() {
    let model = Fixture::new();
    let action = Action::Resolve {
        revision: model.revision.clone(),
        source: "file:///models/a".to_owned(),
        source_revision: None,
    };
    let Outcome::Failed(failure) = model.perform(&action).await else {
        panic!("it was taken");
    };
    assert!(failure.message.contains("pvc://"), "{}", failure.message);
    assert!(!failure.transient);
    assert_eq!(model.fake.names(), Vec::<String>::new());
}
