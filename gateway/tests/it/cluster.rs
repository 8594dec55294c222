//! The gateway before an API server: what changes there changes where requests go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chandler_gateway::cluster::follow;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api_server::ApiServer;
use crate::objects::{model, slice};
use crate::support::{Answer, Door, config, soon, until};
use crate::upstream::Upstream;

const MODELS: &str = "/modeldeployments?";
const SLICES: &str = "/endpointslices?";
const WATCH: &str = "watch=true";
const CONNECTED: [&str; 2] = [
    r#"chandler_gateway_watch_connected{kind="modeldeployments"} 1"#,
    r#"chandler_gateway_watch_connected{kind="endpointslices"} 1"#,
];
const LOST: [&str; 2] = [
    r#"chandler_gateway_watch_connected{kind="modeldeployments"} 0"#,
    r#"chandler_gateway_watch_connected{kind="endpointslices"} 0"#,
];

/// A gateway that follows an API server.
async fn following(api: &ApiServer, namespace: Option<&'static str>) -> Arc<Door> {
    let door = Arc::new(Door::open(config()).await);
    let (config, gateway) = (api.config(), door.gateway.clone());
    tokio::spawn(async move { follow(&config, namespace, &gateway).await.unwrap() });
    door
}

async fn ready(door: &Door) {
    let polled = async { while door.get("/readyz").await.status != StatusCode::OK {} };
    soon("readiness", polled).await;
}

async fn metrics(door: &Door, lines: [&str; 2]) {
    for line in lines {
        door.metric(line).await;
    }
}

/// Asks `model` until `upstream` answers; whoever answers before must not fail.
async fn answers(door: &Door, model: &str, upstream: &str) {
    let polled = async {
        loop {
            let answer = door.ask(model).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            if answer.json() == json!({ "from": upstream }) {
                return;
            }
        }
    };
    soon(upstream, polled).await;
}

/// Asks until `model` is answered with `status`.
async fn status(door: &Door, model: &str, status: StatusCode) -> Answer {
    let polled = async {
        loop {
            let answer = door.ask(model).await;
            if answer.status == status {
                return answer;
            }
        }
    };
    soon("a status", polled).await
}

#[tokio::test]
async fn nothing_is_published_before_both_lists_are_whole() {
    for (held, listed) in [("endpointslices", MODELS), ("modeldeployments", SLICES)] {
        let upstream = Upstream::named("a").await;
        let api = ApiServer::start().await;
        api.hold(Some(held));
        api.put(&model("team", &[("r1", 100)]));
        api.put(&slice("team", "r1", &upstream));
        let door = following(&api, None).await;
        api.asked(&[listed, WATCH]).await;
        // The other kind was listed, and the event is behind us that would have published.
        api.put(&model("team", &[("r1", 100), ("r2", 0)]));
        for line in CONNECTED.iter().filter(|line| !line.contains(held)) {
            door.metric(line).await;
        }
        let readiness = door.get("/readyz").await;
        assert_eq!(readiness.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readiness.json()["reason"], "NoRouteTable");
        api.hold(None);
        ready(&door).await;
        assert_eq!(door.chat().await.json(), json!({ "from": "a" }));
    }
}

#[tokio::test]
async fn an_empty_cluster_makes_ready_as_well() {
    let api = ApiServer::start().await;
    let door = following(&api, None).await;
    ready(&door).await;
    assert_eq!(door.chat().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn requests_follow_slices_weights_and_deletion() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let api = ApiServer::start().await;
    let door = following(&api, None).await;
    ready(&door).await;

    api.put(&model("team", &[("r1", 100)]));
    api.put(&slice("team", "r1", &a));
    status(&door, "chat", StatusCode::OK).await;
    api.put(&slice("team", "r2", &b));
    api.put(&model("team", &[("r1", 0), ("r2", 100)]));
    answers(&door, "chat", "b").await;
    assert_eq!(door.chat().await.json(), json!({ "from": "b" }));

    api.delete(&slice("team", "r2", &b));
    api.put(&model("team", &[("r1", 100), ("r2", 0)]));
    answers(&door, "chat", "a").await;
    api.delete(&model("team", &[]));
    status(&door, "chat", StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_slice_without_the_label_of_a_revision_is_not_even_asked_for() {
    let api = ApiServer::start().await;
    let door = following(&api, None).await;
    ready(&door).await;
    let asked = api.requests();
    let slices: Vec<_> = asked.iter().filter(|r| r.contains(SLICES)).collect();
    assert!(!slices.is_empty());
    for request in slices {
        assert!(
            request.contains("labelSelector=chandler.dev%2Frevision"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn one_namespace_alone_can_be_followed() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let api = ApiServer::start().await;
    for (namespace, upstream) in [("other", &a), ("team", &b)] {
        api.put(&model(namespace, &[("r1", 100)]));
        api.put(&slice(namespace, "r1", upstream));
    }
    let door = following(&api, Some("team")).await;
    ready(&door).await;
    assert_eq!(door.chat().await.json(), json!({ "from": "b" }));
    assert_eq!(door.ask("other/chat").await.status, StatusCode::NOT_FOUND);
    for request in api.requests() {
        assert!(request.contains("/namespaces/team/"), "{request}");
    }
}

#[tokio::test]
async fn two_models_of_one_name_are_both_reached_and_each_is_called_its_own() {
    let echo = |name: &'static str| {
        Upstream::new(move |request| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            axum::Json(json!({ "from": name, "model": body["model"] }))
        })
    };
    let (a, b) = (echo("a").await, echo("b").await);
    let api = ApiServer::start().await;
    for (namespace, upstream) in [("one", &a), ("two", &b)] {
        api.put(&model(namespace, &[("r1", 100)]));
        api.put(&slice(namespace, "r1", upstream));
    }
    let door = following(&api, None).await;
    ready(&door).await;
    for (name, from) in [("chat", "a"), ("one/chat", "a"), ("two/chat", "b")] {
        let answer = door.ask(name).await;
        assert_eq!(answer.json(), json!({ "from": from, "model": "chat" }));
    }
    let listed = door.get("/v1/models").await.json();
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = listed.iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["chat", "two/chat"], "each model is listed once");
    assert_eq!(
        door.get("/v1/models/one/chat").await.json()["id"],
        "one/chat"
    );
}

#[tokio::test]
async fn the_last_table_serves_while_the_api_server_is_away() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let mut api = ApiServer::start().await;
    api.put(&model("team", &[("r1", 100)]));
    api.put(&slice("team", "r1", &a));
    let door = following(&api, None).await;
    ready(&door).await;
    metrics(&door, CONNECTED).await;

    api.stop().await;
    metrics(&door, LOST).await;
    assert_eq!(door.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(door.chat().await.json(), json!({ "from": "a" }));

    // Nothing has changed, so no event tells that it is back.
    api.begin().await;
    metrics(&door, CONNECTED).await;

    api.stop().await;
    metrics(&door, LOST).await;
    api.put(&slice("team", "r2", &b));
    api.put(&model("team", &[("r1", 0), ("r2", 100)]));
    api.begin().await;
    answers(&door, "chat", "b").await;
    metrics(&door, CONNECTED).await;
}

#[tokio::test]
async fn what_was_missed_for_good_is_listed_anew() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let mut api = ApiServer::start().await;
    let kept = model("kept", &[("r1", 100)]);
    let (first, second) = (slice("team", "r1", &a), slice("team", "r1", &b));
    api.put(&model("team", &[("r1", 100)]));
    api.put(&kept);
    api.put(&first);
    let door = following(&api, None).await;
    ready(&door).await;
    api.stop().await;
    api.delete(&kept);
    api.delete(&first);
    api.put(&second);
    api.forget();
    api.begin().await;
    status(&door, "kept/chat", StatusCode::NOT_FOUND).await;
    answers(&door, "team/chat", "b").await;
    metrics(&door, CONNECTED).await;
}

#[tokio::test]
async fn a_watch_that_fell_behind_goes_on_and_is_no_loss() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let api = ApiServer::start().await;
    api.put(&model("team", &[("r1", 100)]));
    api.put(&slice("team", "r1", &a));
    let door = following(&api, None).await;
    ready(&door).await;
    api.asked(&[MODELS, WATCH]).await;
    api.asked(&[SLICES, WATCH]).await;
    metrics(&door, CONNECTED).await;
    api.forget();
    api.put(&slice("team", "r2", &b));
    api.put(&model("team", &[("r1", 0), ("r2", 100)]));
    answers(&door, "chat", "b").await;
    metrics(&door, CONNECTED).await;
}

/// Callers that ask without pause until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    fn on(door: &Arc<Door>, callers: usize) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            callers: JoinSet::new(),
        };
        for _ in 0..callers {
            let (door, stop, answered) = (door.clone(), load.stop.clone(), load.answered.clone());
            load.callers.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = door.chat().await;
                    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        load
    }

    /// Waits until `count` more requests are answered.
    async fn answers(&self, count: usize) {
        let wanted = self.answered.load(Ordering::SeqCst) + count;
        let answered = || self.answered.load(Ordering::SeqCst) >= wanted;
        until("answers under load", || {
            answered() || self.callers.is_empty()
        })
        .await;
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_and_go_under_load_without_a_failed_request() {
    let api = ApiServer::start().await;
    api.put(&model("team", &[("r1", 100)]));
    let mut replica = Upstream::named("first").await;
    api.put(&slice("team", "r1", &replica));
    let door = following(&api, None).await;
    let load = Load::on(&door, 8);
    for round in 0..40 {
        load.answers(20).await;
        let next = Upstream::named("next").await;
        let (old, new) = (slice("team", "r1", &replica), slice("team", "r1", &next));
        match round % 4 {
            // The new one first, as a rollout does.
            0 => {
                api.put(&new);
                api.delete(&old);
            }
            // None for a moment.
            1 => {
                api.delete(&old);
                api.put(&new);
            }
            // The old one dies before anybody knows.
            2 => {
                replica.kill().await;
                api.put(&new);
                api.delete(&old);
            }
            // A watch falls behind meanwhile.
            _ => {
                api.put(&new);
                api.forget();
                api.delete(&old);
            }
        }
        until("the new replica", || next.requests() > 0).await;
        // A replica that is told to go answers what it has, and then ends.
        let id = format!("team/{}", replica.endpoint.id);
        until("an idle replica", || door.gateway.in_flight(&id) == 0).await;
        replica = next;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_shift_and_the_api_server_restarts_under_load_without_a_failed_request() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let mut api = ApiServer::start().await;
    api.put(&model("team", &[("r1", 100), ("r2", 0)]));
    api.put(&slice("team", "r1", &a));
    api.put(&slice("team", "r2", &b));
    let door = following(&api, None).await;
    let load = Load::on(&door, 8);
    for weight in [10, 50, 100, 0, 100] {
        load.answers(20).await;
        api.put(&model("team", &[("r1", 100 - weight), ("r2", weight)]));
        let (of, before) = if weight > 0 {
            (&b, b.requests())
        } else {
            (&a, a.requests())
        };
        until("the shift", || of.requests() > before).await;
    }
    api.stop().await;
    load.answers(50).await;
    api.put(&model("team", &[("r1", 100), ("r2", 0)]));
    let before = a.requests();
    api.begin().await;
    until("the shift back", || a.requests() > before).await;
    load.end().await;
}
