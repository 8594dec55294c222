//! Actions, their preconditions, and what they leave.

use super::*;

/// The kinds of what a revision consists of, sorted.
const PARTS: [&str; 3] = ["deployments", "poddisruptionbudgets", "services"];

#[tokio::test]
async fn a_revision_is_made_once() {
    let model = Fixture::made().await;
    assert_eq!(model.fake.names(), PARTS.map(|kind| model.path(kind)));
    let made = ["deployments", "services", "poddisruptionbudgets"];
    let made = made.map(|kind| format!("apply {}", model.path(kind)));
    assert_eq!(model.fake.log(), made);
    assert_eq!(failed(model.perform(&model.ensure()).await), conflict());
    assert_eq!(model.fake.log(), Vec::<String>::new());
}

#[tokio::test]
async fn the_job_that_resolved_its_source_goes_as_a_revision_is_made() {
    let model = Fixture::new();
    model.perform(&model.resolve()).await;
    assert_eq!(model.fake.names(), [model.path("jobs")]);
    assert_eq!(model.perform(&model.ensure()).await, Outcome::Done);
    assert_eq!(model.fake.names(), PARTS.map(|kind| model.path(kind)));
}

#[tokio::test]
async fn a_revision_that_is_still_being_deleted_is_waited_for() {
    let model = Fixture::made().await;
    let deleting = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    model.fake.set(&model.path("deployments"), &deleting);
    assert!(model.observe().await.unwrap().revisions.is_empty());
    assert_eq!(failed(model.perform(&model.ensure()).await), conflict());
}

#[tokio::test]
async fn a_revision_that_the_spec_does_not_ask_for_is_not_made() {
    let mut model = Fixture::new();
    model.revision = "other".to_owned();
    assert_eq!(failed(model.perform(&model.ensure()).await), conflict());
    assert_eq!(failed(model.perform(&model.mend()).await), conflict());
    assert_eq!(model.fake.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_revision_that_status_tells_the_making_of_is_made_again_as_it_was() {
    let mut model = Fixture::made().await;
    let template = validate(&model.object).unwrap().template;
    let (mend, ensure) = (model.mend(), model.ensure());
    let path = model.path("deployments");
    let before = model.fake.get(&path);
    model.object.spec.model.source = "hf://org/another".to_owned();
    let server = model.object.spec.server.get_or_insert_default();
    server.node_selector = Some([("pool".to_owned(), "gpu".to_owned())].into());
    assert_eq!(failed(model.perform(&mend).await), conflict());

    let status = model.object.status.as_mut().unwrap();
    status.revisions[0].template = Some(*template);
    let broken = json!({"spec": {"template": {"spec": {"containers": []}}}});
    model.fake.set(&path, &broken);
    assert_eq!(model.perform(&mend).await, Outcome::Done);
    assert_eq!(model.fake.get(&path)["spec"], before["spec"]);
    let retire = Action::Retire {
        revision: model.revision.clone(),
    };
    assert_eq!(model.perform(&retire).await, Outcome::Done);
    assert_eq!(model.perform(&ensure).await, Outcome::Done);
    assert_eq!(model.fake.get(&path)["spec"], before["spec"]);
}

#[tokio::test]
async fn names_of_others_are_not_taken() {
    for kind in PARTS {
        let model = Fixture::new();
        let foreign = json!({"metadata": {"name": format!("chat-{}", model.revision),
            "ownerReferences": owner("Helm", "theirs", "u-x")}, "spec": {}});
        model.fake.set(&model.path(kind), &template(&foreign));
        let Outcome::Failed(failure) = model.perform(&model.ensure()).await else {
            panic!("it was made over another's");
        };
        assert_eq!(failure.reason, "NameTaken");
        assert!(!failure.transient);
        assert!(
            failure.message.contains("Helm `theirs`"),
            "{}",
            failure.message
        );
        assert_eq!(model.fake.log(), Vec::<String>::new());
    }
}

/// A Deployment must have a selector and a template to be read at all.
fn template(object: &Value) -> Value {
    let mut object = object.clone();
    object["spec"] = json!({"selector": {}, "template": {}});
    object
}

#[tokio::test]
async fn the_count_alone_is_scaled_and_mending_keeps_it() {
    let model = Fixture::made().await;
    let path = model.path("deployments");
    let before = model.fake.get(&path);
    assert_eq!(failed(model.perform(&model.scale(1, 3)).await), conflict());
    assert_eq!(model.perform(&model.scale(2, 3)).await, Outcome::Done);
    let after = model.fake.get(&path);
    assert_eq!(after["spec"]["replicas"], 3);
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    assert_eq!(model.perform(&model.mend()).await, Outcome::Done);
    assert_eq!(model.fake.get(&path), after);
}

#[tokio::test]
async fn what_changes_in_between_fails_the_action() {
    let model = Fixture::made().await;
    let to = model.all();
    let none = Weights::new();
    assert_eq!(
        model.perform(&Fixture::shift(&none, &to)).await,
        Outcome::Done
    );
    model.fake.state().meddled = Some(("deployments", usize::MAX));
    assert_eq!(failed(model.perform(&model.scale(2, 3)).await), conflict());
    assert_eq!(failed(model.perform(&model.mend()).await), conflict());
    model.fake.state().meddled = Some(("services", usize::MAX));
    assert_eq!(
        failed(model.perform(&Fixture::shift(&to, &none)).await),
        conflict()
    );
    model.fake.state().meddled = None;
    assert_eq!(
        model.perform(&Fixture::shift(&to, &none)).await,
        Outcome::Done
    );
}

#[tokio::test]
async fn a_write_of_someone_else_in_between_is_looked_at_once_more() {
    let model = Fixture::made().await;
    model.fake.state().meddled = Some(("deployments", 1));
    assert_eq!(model.perform(&model.scale(2, 3)).await, Outcome::Done);
    assert_eq!(
        model.fake.get(&model.path("deployments"))["spec"]["replicas"],
        3
    );
}

#[tokio::test]
async fn traffic_is_set_from_what_it_is() {
    let model = Fixture::made().await;
    let (none, all) = (Weights::new(), model.all());
    assert_eq!(
        failed(model.perform(&Fixture::shift(&all, &none)).await),
        conflict()
    );
    assert_eq!(
        model.perform(&Fixture::shift(&none, &all)).await,
        Outcome::Done
    );
    assert_eq!(model.observe().await.unwrap().weights, all);
    let selector = &model.fake.get("services/chat")["spec"]["selector"];
    assert_eq!(selector["chandler.dev/revision"], model.revision.as_str());
    assert_eq!(
        failed(model.perform(&Fixture::shift(&none, &all)).await),
        conflict()
    );
    assert_eq!(
        model.perform(&Fixture::shift(&all, &none)).await,
        Outcome::Done
    );
    let selector = &model.fake.get("services/chat")["spec"]["selector"];
    assert_eq!(selector["chandler.dev/revision"], "none");
}

#[tokio::test]
async fn a_revision_with_traffic_is_not_retired_and_its_deployment_goes_last() {
    let model = Fixture::made().await;
    let (none, all) = (Weights::new(), model.all());
    model.perform(&model.resolve()).await;
    model.perform(&Fixture::shift(&none, &all)).await;
    model.fake.log();
    assert_eq!(failed(model.perform(&model.retire()).await), conflict());
    assert_eq!(model.fake.log(), Vec::<String>::new());
    model.perform(&Fixture::shift(&all, &none)).await;
    model.fake.log();
    assert_eq!(model.perform(&model.retire()).await, Outcome::Done);
    let gone = ["jobs", "services", "poddisruptionbudgets", "deployments"];
    let gone = gone.map(|kind| format!("delete {}", model.path(kind)));
    assert_eq!(model.fake.log(), gone);
    assert_eq!(model.fake.names(), ["services/chat"]);
    assert_eq!(failed(model.perform(&model.retire()).await), conflict());
}

#[tokio::test]
async fn retiring_that_was_cut_short_is_ended_by_the_next() {
    let model = Fixture::made().await;
    let delete = format!("delete {}", model.path("deployments"));
    model.fake.state().refuse = Some((delete, 503));
    let (reason, transient) = failed(model.perform(&model.retire()).await);
    assert_eq!((reason.as_str(), transient), ("ApiUnavailable", true));
    assert_eq!(model.fake.names(), [model.path("deployments")]);
    model.fake.state().refuse = None;
    assert_eq!(model.perform(&model.retire()).await, Outcome::Done);
    assert_eq!(model.fake.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_probe_without_a_ready_replica_is_stale() {
    let model = Fixture::made().await;
    let revision = model.revision.clone();
    assert_eq!(
        failed(model.perform(&Action::Probe { revision }).await),
        conflict()
    );
}

#[tokio::test]
async fn what_is_forbidden_is_told_as_such() {
    let model = Fixture::new();
    model.fake.state().refuse = Some(("apply deployments/".to_owned(), 403));
    let (reason, transient) = failed(model.perform(&model.ensure()).await);
    assert_eq!((reason.as_str(), transient), ("ApiForbidden", false));
}
