use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::IntoResponse;
use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Door, chat, config, table, until};
use crate::upstream::{Upstream, nobody};

const CLOSED: &str = "";
const HALF_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-ty";
const NO_HTTP: &str = "what?\r\n\r\n";
const HALF_JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"from\": \"dead";
const NO_EVENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const HALF_EVENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n20\r\ndata: {\"from";
const DRAINING: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn what_the_caller_never_saw_goes_to_another_replica() {
    for dying in [
        CLOSED, HALF_HEAD, NO_HTTP, HALF_JSON, NO_EVENT, HALF_EVENT, DRAINING,
    ] {
        let (dead, alive) = (Upstream::dying(dying).await, Upstream::named("alive").await);
        let door = Door::before(&[dead.endpoint.clone(), alive.endpoint.clone()]).await;
        for _ in 0..4 {
            let answer = door.chat().await;
            assert_eq!(answer.status, StatusCode::OK, "{dying:?}: {answer:?}");
            assert_eq!(answer.json(), json!({ "from": "alive" }));
        }
        assert!(dead.requests() > 0, "the test's point is to ask it");
        assert_eq!(alive.requests(), 4);
        let line = format!(
            r#"chandler_gateway_retries_total{{model="chat"}} {}"#,
            dead.requests()
        );
        assert!(door.has_metric(&line).await);
        door.idle(&dead.endpoint).await;
    }
}

#[tokio::test]
async fn a_refused_connection_goes_to_another_replica() {
    let alive = Upstream::named("alive").await;
    let nobodies = [nobody(), nobody(), nobody(), nobody()];
    let dead = nobodies.each_ref().map(|nobody| nobody.endpoint.clone());
    let endpoints = [&dead[..], alive.alone()].concat();
    let door = Door::before(&endpoints).await;
    for _ in 0..10 {
        assert_eq!(door.chat().await.json(), json!({ "from": "alive" }));
    }
}

#[tokio::test]
async fn an_answer_of_the_replica_is_not_asked_for_again() {
    for status in [400, 404, 429, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        let failing = Upstream::new(move |_| async move { (status, axum::Json(json!({}))) }).await;
        let other = nobody();
        let door = Door::before(&[failing.endpoint.clone(), other.endpoint.clone()]).await;
        assert_eq!(door.chat().await.status, status);
        assert_eq!(failing.requests(), 1);
    }
}

#[tokio::test]
async fn a_request_that_kills_its_replicas_does_not_kill_them_all() {
    let mut upstreams = Vec::new();
    for _ in 0..5 {
        upstreams.push(Upstream::dying(HALF_JSON).await);
    }
    let endpoints: Vec<_> = upstreams.iter().map(|u| u.endpoint.clone()).collect();
    let door = Door::before(&endpoints).await;
    let answer = door.chat().await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.error().2, "replica_lost");
    assert_eq!(upstreams.iter().map(Upstream::requests).sum::<usize>(), 2);
}

#[tokio::test]
async fn waits_until_a_replica_is_published() {
    let upstream = Upstream::named("late").await;
    let door = Door::before(&[]).await;
    let publish = async {
        let waiting = r#"chandler_gateway_requests_in_flight{model="chat"} 1"#;
        door.metric(waiting).await;
        door.gateway.publish(chat(upstream.alone()));
    };
    let (answer, ()) = tokio::join!(door.chat(), publish);
    assert_eq!(answer.json(), json!({ "from": "late" }));
}

#[tokio::test]
async fn before_the_first_table_a_model_is_awaited_and_not_unknown() {
    let mut config = config();
    config.wait_for_replica = Duration::from_millis(1);
    let door = Door::open(config).await;
    let answer = door.chat().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error().2, "model_not_ready");
    door.gateway.publish(table(&[]));
    assert_eq!(door.chat().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn waits_for_a_replica_to_come_back_without_a_new_table() {
    let ready = Arc::new(AtomicBool::new(false));
    let seen = ready.clone();
    let upstream = Upstream::new(move |_| {
        let ready = seen.load(Ordering::SeqCst);
        async move {
            if ready {
                axum::Json(json!({})).into_response()
            } else {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    })
    .await;
    let door = Door::before(upstream.alone()).await;
    let wake = async {
        until("two refusals", || upstream.requests() >= 2).await;
        ready.store(true, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(door.chat(), wake);
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wait_in_vain_ends_in_a_503() {
    let mut config = config();
    config.wait_for_replica = Duration::from_millis(1);
    let door = Door::open(config).await;
    let away = table(&[("chat", &[("r1", 100, &[])])]);
    let nobody = nobody();
    let refusing = chat(nobody.alone());
    for (table, says) in [
        (away, "No replica of \"chat\""),
        (refusing, "could not be reached"),
    ] {
        door.gateway.publish(table);
        let answer = door.chat().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error().2, "model_not_ready");
        assert!(answer.message().contains(says), "{}", answer.message());
        assert_eq!(answer.header("retry-after"), Some("30"));
    }
    let line = r#"chandler_gateway_requests_total{code="503",model="chat",revision=""} 2"#;
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn a_full_waiting_room_refuses_at_once() {
    let mut config = config();
    config.max_waiting = 2;
    let door = Door::open(config).await;
    door.gateway.publish(chat(&[]));
    let late = Upstream::named("late").await;
    let mut answers = join_all((0..5).map(|_| door.chat()));
    let refused_line = r#"chandler_gateway_requests_total{code="503",model="chat",revision=""} 3"#;
    let publish = async {
        door.metric(refused_line).await;
        door.gateway.publish(chat(late.alone()));
    };
    let (answers, ()) = tokio::join!(&mut answers, publish);
    let refused = answers
        .iter()
        .filter(|a| a.status == StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused
            .inspect(|a| assert!(a.message().contains("wait already")))
            .count(),
        3
    );
    assert_eq!(
        answers
            .iter()
            .filter(|a| a.status == StatusCode::OK)
            .count(),
        2
    );
}

#[tokio::test]
async fn fifty_requests_survive_the_death_of_a_replica() {
    let gate = Arc::new(Semaphore::new(0));
    let held = |name: &'static str| {
        let gate = gate.clone();
        Upstream::new(move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                axum::Json(json!({ "from": name }))
            }
        })
    };
    let (mut doomed, survivor) = (held("doomed").await, held("survivor").await);
    let door = Door::before(&[doomed.endpoint.clone(), survivor.endpoint.clone()]).await;
    let kill = async {
        until("all arrivals", || {
            doomed.requests() + survivor.requests() == 50
        })
        .await;
        assert_eq!((doomed.requests(), survivor.requests()), (25, 25));
        doomed.kill().await;
        until("those of the dead", || survivor.requests() == 50).await;
        gate.add_permits(50);
    };
    let (answers, ()) = tokio::join!(join_all((0..50).map(|_| door.chat())), kill);
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json(), json!({ "from": "survivor" }));
    }
    assert_eq!(answers.len(), 50);
}
