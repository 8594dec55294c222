//! What is seen of the objects, and when they count as changed.

use std::time::Duration;

use chandler_crds::names::metrics;
use chandler_crds::spec::Autoscaling;
use tokio::sync::mpsc;

use super::*;
use crate::looks::Looks;
use crate::metrics::Metrics;
use crate::served::{Served, load};

/// A model whose count follows its load, within these.
fn scaled(min: i32, max: i32) -> Autoscaling {
    Autoscaling {
        min_replicas: Some(min),
        max_replicas: max,
        ..Autoscaling::default()
    }
}

/// A pod as the Deployment's ReplicaSet would make it.
fn replica(model: &Fixture, ready: &str) -> Value {
    let deployment = model.fake.get(&model.path("deployments"));
    let mut labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
    labels["pod-template-hash"] = json!("t1");
    let set = format!("chat-{}-t1", model.revision);
    json!({
        "metadata": {"name": "p", "labels": labels, "ownerReferences": owner("ReplicaSet", &set, "u")},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    })
}

async fn ready(model: &Fixture) -> u32 {
    model.observe().await.unwrap().ready(&model.revision)
}

async fn drifted(model: &Fixture) -> bool {
    model.observe().await.unwrap().revisions[&model.revision].drifted
}

#[tokio::test]
async fn ready_replicas_count_until_they_go() {
    let model = Fixture::made().await;
    let seen = model.observe().await.unwrap();
    assert_eq!(seen.revisions[&model.revision].desired, 2);
    assert_eq!(ready(&model).await, 0);
    model.fake.set("pods/p", &replica(&model, "True"));
    assert_eq!(ready(&model).await, 1);
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    model.fake.set("pods/p", &going);
    assert_eq!(ready(&model).await, 0);
}

#[tokio::test]
async fn pods_with_borrowed_labels_do_not_count() {
    let model = Fixture::made().await;
    let mut pod = replica(&model, "True");
    pod["metadata"]["ownerReferences"] = owner("ReplicaSet", "theirs-t1", "u");
    model.fake.set("pods/p", &pod);
    assert_eq!(ready(&model).await, 0);
}

#[tokio::test]
async fn objects_of_others_count_only_under_our_names() {
    let model = Fixture::made().await;
    let labels = json!({"chandler.dev/model": "chat", "chandler.dev/revision": "abc"});
    let foreign = json!({"metadata": {"name": "theirs", "labels": labels}, "spec": {}});
    model.fake.set("services/theirs", &foreign);
    assert_eq!(model.observe().await.unwrap().revisions.len(), 1);
    let stable = json!({"metadata": {"name": "chat", "labels": labels}, "spec": {}});
    model.fake.set("services/chat", &stable);
    let failure = model.observe().await.unwrap_err();
    assert_eq!(failure.reason, "NameTaken");
    assert!(!failure.transient);
    assert!(
        failure.message.contains("Service `chat`"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn objects_of_a_former_self_are_waited_for() {
    let model = Fixture::made().await;
    let former = json!({"metadata": {"ownerReferences": owner("ModelDeployment", "chat", "old")}});
    model.fake.set(&model.path("deployments"), &former);
    let failure = model.observe().await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.transient),
        ("Conflict", true)
    );
}

#[tokio::test]
async fn what_is_as_it_was_made_is_compared_once() {
    let model = Fixture::made().await;
    model
        .perform(&Fixture::shift(&Weights::new(), &model.all()))
        .await;
    model.fake.log();
    assert!(!drifted(&model).await);
    assert_eq!(model.fake.log().len(), 4);
    assert!(!drifted(&model).await);
    assert_eq!(model.fake.log(), Vec::<String>::new());
}

#[tokio::test]
async fn what_others_add_is_left_alone() {
    let model = Fixture::made().await;
    assert!(!drifted(&model).await);
    let added = json!({"metadata": {"annotations": {"example.com/note": "mine"}},
        "spec": {"minReadySeconds": 3}});
    model.fake.set(&model.path("deployments"), &added);
    model.fake.set(
        &model.path("services"),
        &json!({"metadata": {"labels": {"team": "a"}}}),
    );
    assert!(!drifted(&model).await);
}

#[tokio::test]
async fn what_others_change_is_seen_and_mended() {
    let model = Fixture::made().await;
    model
        .perform(&Fixture::shift(&Weights::new(), &model.all()))
        .await;
    let changes = [
        (
            model.path("deployments"),
            json!({"spec": {"revisionHistoryLimit": 9}}),
        ),
        (
            model.path("services"),
            json!({"spec": {"publishNotReadyAddresses": true}}),
        ),
        (
            model.path("poddisruptionbudgets"),
            json!({"spec": {"maxUnavailable": 2}}),
        ),
        (
            "services/chat".to_owned(),
            json!({"spec": {"selector": {"chandler.dev/revision": "x"}}}),
        ),
    ];
    for (path, change) in changes {
        assert!(!drifted(&model).await, "{path} before");
        let before = model.fake.get(&path);
        model.fake.set(&path, &change);
        assert!(drifted(&model).await, "{path} changed");
        assert_eq!(model.perform(&model.mend()).await, Outcome::Done);
        assert!(!drifted(&model).await, "{path} mended");
        assert_eq!(model.fake.get(&path)["spec"], before["spec"]);
    }
}

#[tokio::test]
async fn a_part_that_is_missing_is_made_again() {
    let model = Fixture::made().await;
    for kind in ["services", "poddisruptionbudgets"] {
        model.fake.state().objects.remove(&model.path(kind));
        assert!(drifted(&model).await, "{kind}");
        assert_eq!(model.perform(&model.mend()).await, Outcome::Done);
        assert!(!drifted(&model).await, "{kind}");
    }
}

#[tokio::test]
async fn an_apply_that_would_be_refused_is_left_to_mending_to_tell() {
    let model = Fixture::made().await;
    model.fake.state().refuse = Some(("rehearse deployments/".to_owned(), 422));
    assert!(drifted(&model).await);
}

#[tokio::test]
async fn a_world_that_can_not_be_looked_at_is_a_failure() {
    let model = Fixture::made().await;
    for (line, code, reason, transient) in [
        ("list pods/", 503, "ApiUnavailable", true),
        ("list services/", 403, "ApiForbidden", false),
        ("rehearse deployments/", 500, "ApiUnavailable", true),
    ] {
        model.fake.state().refuse = Some((line.to_owned(), code));
        let failure = model.observe().await.unwrap_err();
        assert_eq!(
            (failure.reason.as_str(), failure.transient),
            (reason, transient)
        );
    }
}

#[tokio::test]
async fn a_paused_model_is_not_compared() {
    let mut model = Fixture::made().await;
    model.object.spec.paused = Some(true);
    model.fake.set(
        &model.path("deployments"),
        &json!({"spec": {"revisionHistoryLimit": 9}}),
    );
    assert!(!drifted(&model).await);
}

#[tokio::test]
async fn a_service_under_the_models_name_has_an_owner() {
    let model = Fixture::made().await;
    model
        .perform(&Fixture::shift(&Weights::new(), &model.all()))
        .await;
    let made = model.fake.get("services/chat");
    assert_eq!(
        made["metadata"]["ownerReferences"][0]["uid"],
        model.owned()[0]["uid"]
    );
}

#[tokio::test]
async fn what_the_gateways_tell_is_seen_and_a_model_that_may_rest_asks_again() {
    let mut model = Fixture::made().await;
    assert_eq!(model.observe().await.unwrap().gateways, None);
    let gateway = Served::new("").await;
    let gateways = Gateways::new(
        gateway.address.to_string(),
        chandler_probe::Client::new(),
        Metrics::new().unwrap(),
    );
    model.gateways = Some(gateways.clone());
    let silent = model.observe().await.unwrap().gateways.unwrap();
    assert_eq!((silent.waiting, silent.idle, silent.open), (0, None, None));

    model.object.spec.replicas = None;
    model.object.spec.autoscaling = Some(scaled(0, 2));
    model.observe().await.unwrap();
    let (idle, waiting) = (metrics::GATEWAY_IDLE, metrics::GATEWAY_WAITING);
    let label = "{model=\"models/chat\"}";
    gateway.tells(&format!("{idle}{label} 60\n{waiting}{label} 0\n"));
    let (sender, mut looks) = mpsc::channel(1);
    let look = tokio::select! {
        () = gateways.follow(&sender) => None,
        look = looks.recv() => look,
    };
    let key = ModelKey::from(&model.object);
    assert_eq!(look, Some(Looks::Of([key].into())));
    let told = model.observe().await.unwrap().gateways.unwrap();
    assert_eq!(told.idle, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn what_ready_replicas_measure_is_seen_of_a_model_that_follows_its_load() {
    let mut model = Fixture::made().await;
    let there = Served::at("127.0.71.1:8000", &load(2, 1, 40)).await;
    let mut pod = replica(&model, "True");
    pod["metadata"]["uid"] = json!("pod-1");
    pod["status"]["podIP"] = json!(there.address.ip());
    model.fake.set("pods/p", &pod);
    let measured = async |model: &Fixture| {
        let mut seen = model.observe().await.unwrap();
        seen.revisions.remove(&model.revision).unwrap().load
    };
    let round = async |model: &Fixture| {
        let (sender, mut looks) = mpsc::channel(1);
        tokio::select! {
            () = model.scraper.follow(&sender) => {}
            _ = looks.recv() => {}
        }
    };
    assert_eq!(measured(&model).await, None);
    round(&model).await;
    assert_eq!(there.asked(), 0, "its count is fixed");

    model.object.spec.replicas = None;
    model.object.spec.autoscaling = Some(scaled(1, 2));
    assert_eq!(measured(&model).await, None, "nobody was asked yet");
    round(&model).await;
    let load = measured(&model).await.unwrap();
    assert_eq!((load.replicas, load.running, load.waiting), (1, 2.0, 1.0));

    model.fake.set("pods/p", &replica(&model, "False"));
    assert_eq!(measured(&model).await, None, "it is ready no more");
    model.object.spec.paused = Some(true);
    model.fake.set("pods/p", &pod);
    measured(&model).await;
    round(&model).await;
    assert_eq!(there.asked(), 1, "who is paused is left alone");
}

#[tokio::test]
async fn a_replica_that_tells_of_little_rest_is_not_asked_again() {
    let mut model = Fixture::made().await;
    let gateway = Served::new("").await;
    let client = chandler_probe::Client::new();
    let address = gateway.address.to_string();
    model.gateways = Some(Gateways::new(address, client, Metrics::new().unwrap()));
    model.object.spec.replicas = None;
    model.object.spec.autoscaling = Some(scaled(0, 2));
    let told = |idle: u32| format!("{}{} {idle}\n", load(0, 0, 40), metrics::IDLE_SECONDS);
    let there = Served::at("127.0.71.2:8000", &told(20)).await;
    let mut pod = replica(&model, "True");
    pod["metadata"]["uid"] = json!("pod-1");
    pod["status"]["podIP"] = json!(there.address.ip());
    model.fake.set("pods/p", &pod);
    let idle =
        async |model: &Fixture| model.observe().await.unwrap().revisions[&model.revision].idle;
    assert_eq!(
        idle(&model).await,
        Some(Duration::from_secs(20)),
        "asked in the turn"
    );
    for (told_before, told_now, asked, expected) in [(30, 40, 1, 30), (300, 2, 2, 2)] {
        there.tells(&told(told_before));
        let (sender, mut looks) = mpsc::channel(1);
        tokio::select! {
            () = model.scraper.follow(&sender) => {}
            _ = looks.recv() => {}
        }
        there.tells(&told(told_now));
        let before = there.asked();
        assert_eq!(idle(&model).await, Some(Duration::from_secs(expected)));
        assert_eq!(there.asked(), before + asked - 1, "{told_before} s");
    }
}

#[tokio::test]
async fn the_requests_of_a_revision_on_its_way_out_are_counted() {
    let mut model = Fixture::made().await;
    let scale = model.scale(2, 1);
    assert_eq!(model.perform(&scale).await, Outcome::Done);
    let told =
        |running, idle: &str| format!("{}{} {idle}\n", load(running, 0, 40), metrics::IDLE_SECONDS);
    let there = Served::at("127.0.71.3:8000", &told(2, "0")).await;
    let mut pod = replica(&model, "True");
    pod["status"]["podIP"] = json!(there.address.ip());
    model.fake.set("pods/p", &pod);
    let counted =
        async |model: &Fixture| model.observe().await.unwrap().revisions[&model.revision].in_flight;
    assert_eq!(counted(&model).await, None, "it stays");
    let status = model.object.status.as_mut().unwrap();
    let since = json!("2026-01-01T00:00:00.000000Z");
    status.revisions[0].draining_since = serde_json::from_value(since).unwrap();
    assert_eq!(counted(&model).await, Some(2));
    there.tells(&told(0, "4.9"));
    assert_eq!(
        counted(&model).await,
        None,
        "a gateway may not have heard yet"
    );
    there.tells(&told(0, "5"));
    assert_eq!(counted(&model).await, Some(0));
    there.tells("");
    assert_eq!(counted(&model).await, None, "it does not tell");
    there.tells(&told(0, "5"));
    model.fake.set("pods/q", &replica(&model, "False"));
    assert_eq!(counted(&model).await, None, "another one may still answer");
}
