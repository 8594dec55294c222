use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Door, chat, config, piece, soon};
use crate::upstream::{Guard, Upstream, from_channel};

const TIMEOUT: &str = "x-request-timeout";

/// A replica that never answers, and a token that tells when it learnt that nobody waits.
async fn silent() -> (Upstream, CancellationToken) {
    let gone = CancellationToken::new();
    let token = gone.clone();
    let upstream = Upstream::new(move |_| {
        let guard = Guard(token.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    });
    (upstream.await, gone)
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up_at_the_replica_too() {
    let (upstream, gone) = silent().await;
    let door = Door::before(upstream.alone()).await;
    let answer = door.chat_with(&[(TIMEOUT, "0.05")]).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.error().2, "timeout");
    assert!(answer.message().contains("0.05 s"), "{}", answer.message());
    soon("the replica's loss of its caller", gone.cancelled()).await;
    door.idle(&upstream.endpoint).await;
    assert_eq!(
        upstream.requests(),
        1,
        "time that is up is no reason to ask again"
    );
}

#[tokio::test]
async fn a_replica_that_keeps_to_the_callers_time_is_not_passed_over_for_it() {
    let late = |_| async { (StatusCode::GATEWAY_TIMEOUT, axum::Json(json!({}))) };
    let (late, other) = (Upstream::new(late).await, Upstream::named("other").await);
    let door = Door::before(&[late.endpoint.clone(), other.endpoint.clone()]).await;
    for _ in 0..40 {
        door.chat().await;
    }
    assert!(late.requests() > 10, "{}", late.requests());
    assert_eq!(late.requests() + other.requests(), 40, "nor asked again");
}

#[tokio::test]
async fn the_model_says_how_long_an_answer_may_take() {
    let (upstream, gone) = silent().await;
    let door = Door::open(config()).await;
    let mut table = chat(upstream.alone());
    table.models.get_mut("chat").unwrap().request_timeout = Duration::from_millis(50);
    door.gateway.publish(table);
    let answer = door.chat().await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    soon("the replica's loss of its caller", gone.cancelled()).await;
}

#[tokio::test]
async fn a_replica_is_told_how_long_it_has() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let upstream = Upstream::new(move |request| {
        let header = request.headers()[TIMEOUT].to_str().unwrap().to_owned();
        seen.lock().unwrap().push(header);
        async move { axum::Json(json!({})) }
    })
    .await;
    let door = Door::before(upstream.alone()).await;
    door.chat_with(&[(TIMEOUT, "30")]).await;
    door.chat().await;
    let told = told.lock().unwrap();
    let seconds: Vec<f64> = told.iter().map(|told| told.parse().unwrap()).collect();
    assert!(seconds[0] > 0.0 && seconds[0] <= 30.0, "{seconds:?}");
    assert!(seconds[1] > 30.0 && seconds[1] <= 600.0, "{seconds:?}");
}

#[tokio::test]
async fn a_stream_that_takes_too_long_ends_in_words() {
    let (pieces, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let gone = CancellationToken::new();
    let token = gone.clone();
    let upstream = Upstream::new(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let response = from_channel("text/event-stream", receiver, Guard(token.clone()));
        async move { response }
    })
    .await;
    pieces.send("data: 1\n\n").unwrap();
    let door = Door::before(upstream.alone()).await;
    let client = Client::of(door.addr);
    let body = json!({ "model": "chat", "stream": true }).to_string();
    let path = "/v1/chat/completions";
    let answer = client.begin_with(Method::POST, path, body, &[(TIMEOUT, "0.3")]);
    let mut body = answer.await.into_body();
    assert_eq!(piece(&mut body).await.as_deref(), Some("data: 1\n\n"));
    let rest = soon("the end", body.collect()).await.unwrap().to_bytes();
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    assert!(rest.contains("\"code\":\"timeout\""), "{rest}");
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    soon("the replica's loss of its caller", gone.cancelled()).await;
    drop(pieces);
}
