//! Requests for a model that has no replica yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;

use crate::support::{Answer, Door, chat, config, piece, soon, table};
use crate::upstream::{Upstream, one_event_each};

const HEARTBEAT: &str = ": waiting for a replica\n\n";

/// A gateway that begins a stream at once and tells of its life often.
async fn impatient() -> Door {
    let mut config = config();
    config.stream_patience = Duration::from_millis(1);
    config.heartbeat = Duration::from_millis(1);
    let door = Door::open(config).await;
    door.gateway.publish(chat(&[]));
    door
}

#[tokio::test]
async fn a_stream_hears_that_its_request_is_alive_until_a_replica_answers() {
    let (upstream, mut streams) = one_event_each().await;
    let door = impatient().await;
    let response = door.begin_chat().await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for _ in 0..3 {
        assert_eq!(piece(&mut body).await.as_deref(), Some(HEARTBEAT));
    }
    door.gateway.publish(chat(upstream.alone()));
    let events = soon("the replica's answer", streams.recv()).await.unwrap();
    events.send("data: [DONE]\n\n").unwrap();
    drop(events);
    let rest = soon("the end", body.collect()).await.unwrap().to_bytes();
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    let rest = rest.trim_start_matches(HEARTBEAT);
    assert_eq!(rest, "data: 1\n\ndata: [DONE]\n\n");
    door.idle(&upstream.endpoint).await;
    let line = r#"chandler_gateway_requests_total{code="200",model="chat",revision="r1"} 1"#;
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn what_a_replica_says_to_a_stream_that_began_is_an_event() {
    let refusal = json!({ "error": { "message": "no\nway", "code": "bad" } });
    let pretty = serde_json::to_string_pretty(&refusal).unwrap();
    let upstream = Upstream::new(move |_| {
        let pretty = pretty.clone();
        async move {
            (
                StatusCode::BAD_REQUEST,
                [("content-type", "application/json")],
                pretty,
            )
        }
    })
    .await;
    let door = impatient().await;
    let mut body = door.begin_chat().await.into_body();
    assert_eq!(piece(&mut body).await.as_deref(), Some(HEARTBEAT));
    door.gateway.publish(chat(upstream.alone()));
    let rest = soon("the end", body.collect()).await.unwrap().to_bytes();
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    let events = rest.trim_start_matches(HEARTBEAT);
    let event = events.strip_suffix("\n\ndata: [DONE]\n\n").unwrap();
    let event = event.strip_prefix("data: ").unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(event).unwrap(),
        refusal
    );
}

#[tokio::test]
async fn a_stream_that_waits_in_vain_ends_in_words() {
    let mut config = config();
    config.stream_patience = Duration::from_millis(1);
    config.wait_for_replica = Duration::from_millis(20);
    let door = Door::open(config).await;
    door.gateway.publish(chat(&[]));
    let body = door.begin_chat().await.into_body();
    let all = soon("the end", body.collect()).await.unwrap().to_bytes();
    let all = String::from_utf8(all.to_vec()).unwrap();
    assert!(all.starts_with(HEARTBEAT), "{all}");
    assert!(all.contains("\"code\":\"model_not_ready\""), "{all}");
    assert!(all.ends_with("data: [DONE]\n\n"), "{all}");
}

/// What becomes of so many requests that wait together, until `upstream` is there.
async fn held_and_let_go(herd: usize, upstream: &Upstream) -> (Door, Vec<Answer>) {
    let door = Door::open(config()).await;
    door.gateway.publish(chat(&[]));
    let waiting = format!(r#"chandler_gateway_requests_waiting{{model="default/chat"}} {herd}"#);
    let wake = async {
        door.metric(&waiting).await;
        door.gateway.publish(chat(upstream.alone()));
    };
    let (answers, ()) = tokio::join!(join_all((0..herd).map(|_| door.chat())), wake);
    (door, answers)
}

#[tokio::test]
async fn a_herd_is_one_demand_and_all_of_it_is_answered() {
    const HERD: usize = 1000;
    let upstream = Upstream::named("woken").await;
    let (door, answers) = held_and_let_go(HERD, &upstream).await;
    for answer in answers {
        assert_eq!(answer.json(), json!({ "from": "woken" }));
    }
    assert_eq!(upstream.requests(), HERD);
    let nobody = r#"chandler_gateway_requests_waiting{model="default/chat"} 0"#;
    assert!(door.has_metric(nobody).await);
}

#[tokio::test]
async fn a_herd_that_is_more_than_a_queue_holds_goes_on_waiting() {
    const HERD: usize = 100;
    let full = Arc::new(AtomicI64::new(HERD as i64 / 2));
    let upstream = Upstream::new({
        let full = Arc::clone(&full);
        move |_| {
            let refused = full.fetch_sub(1, Ordering::SeqCst) > 0;
            async move {
                if refused {
                    StatusCode::TOO_MANY_REQUESTS
                } else {
                    StatusCode::OK
                }
            }
        }
    })
    .await;
    let (door, answers) = held_and_let_go(HERD, &upstream).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(upstream.requests(), HERD + HERD / 2);

    // Who comes anew is told at once.
    full.store(1, Ordering::SeqCst);
    assert_eq!(door.chat().await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(upstream.requests(), HERD + HERD / 2 + 1);
}

#[tokio::test]
async fn who_cannot_be_held_is_told_when_to_come_back() {
    let door = Door::open(config()).await;
    let mut sleeping = table(&[("chat", &[("r1", 100, &[])])]);
    // Longer than any request may wait here.
    let start = Duration::from_secs(500);
    sleeping.models.get_mut("chat").unwrap().cold_start = Some(start);
    door.gateway.publish(sleeping);
    let answer = door.chat().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error().2, "model_not_ready");
    assert_eq!(answer.header("retry-after"), Some("500"));
    assert!(answer.message().contains("500 s"), "{}", answer.message());
}

#[tokio::test]
async fn the_room_is_bounded_in_bytes() {
    let mut config = config();
    config.max_waiting_bytes = 10;
    let door = Door::open(config).await;
    door.gateway.publish(chat(&[]));
    let answer = door.chat().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.message().contains("wait already"),
        "{}",
        answer.message()
    );
}
