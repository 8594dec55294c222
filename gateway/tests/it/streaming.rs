use std::sync::{Arc, Mutex};

use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{Door, chat, config, piece, read, soon};
use crate::upstream::{Guard, Upstream, from_channel};

const EVENTS: &str = "text/event-stream";
const CUT: &str = "\"code\":\"replica_lost\"";

/// A replica whose one answer the test writes piece by piece, and a token that tells when the
/// replica learnt that the caller is gone (or its answer is complete).
async fn by_hand(
    content_type: &'static str,
) -> (
    Upstream,
    mpsc::UnboundedSender<&'static str>,
    CancellationToken,
) {
    let (pieces, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let gone = CancellationToken::new();
    let token = gone.clone();
    let upstream = Upstream::new(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let response = from_channel(content_type, receiver, Guard(token.clone()));
        async move { response }
    })
    .await;
    (upstream, pieces, gone)
}

#[tokio::test]
async fn a_piece_arrives_while_the_next_is_held_back() {
    for content_type in [EVENTS, "text/plain"] {
        let (upstream, pieces, _gone) = by_hand(content_type).await;
        let door = Door::before(upstream.alone()).await;
        pieces.send("data: 1\n\n").unwrap();
        let response = door.begin_chat().await;
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.headers()["x-chandler-revision"], "r1");
        let mut body = response.into_body();
        // Each piece is only sent once the one before was read here.
        assert_eq!(piece(&mut body).await.as_deref(), Some("data: 1\n\n"));
        pieces.send("data: 2\n\n").unwrap();
        assert_eq!(piece(&mut body).await.as_deref(), Some("data: 2\n\n"));
        assert_eq!(door.gateway.in_flight(&upstream.endpoint.id), 1);
        pieces.send("data: [DONE]\n\n").unwrap();
        assert_eq!(piece(&mut body).await.as_deref(), Some("data: [DONE]\n\n"));
        drop(pieces);
        assert_eq!(piece(&mut body).await, None);
        door.idle(&upstream.endpoint).await;
        let line = r#"chandler_gateway_requests_total{code="200",model="chat",revision="r1"} 1"#;
        assert!(door.has_metric(line).await);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_frees_the_replica() {
    for content_type in [EVENTS, "text/plain"] {
        let (upstream, pieces, gone) = by_hand(content_type).await;
        let door = Door::before(upstream.alone()).await;
        pieces.send("data: 1\n\n").unwrap();
        let mut body = door.begin_chat().await.into_body();
        assert!(piece(&mut body).await.is_some());
        assert!(!gone.is_cancelled());
        // The replica sends nothing more, so only the closed connection can tell it.
        drop(body);
        soon("the replica's loss of its caller", gone.cancelled()).await;
        door.idle(&upstream.endpoint).await;
        let line = r#"chandler_gateway_requests_total{code="499",model="chat",revision="r1"} 1"#;
        assert!(door.has_metric(line).await);
        drop(pieces);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_frees_the_replica() {
    // Before the head of an answer; and with a JSON answer half sent, which is held back.
    let gone = CancellationToken::new();
    let token = gone.clone();
    let silent = Upstream::new(move |_| {
        let guard = Guard(token.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    })
    .await;
    let (half, pieces, half_gone) = by_hand("application/json").await;
    pieces.send("{\"half\":").unwrap();
    for (upstream, gone) in [(silent, gone), (half, half_gone)] {
        let door = Door::before(upstream.alone()).await;
        tokio::select! {
            answer = door.chat() => panic!("{answer:?}"),
            () = crate::support::until("arrival", || upstream.requests() == 1) => {}
        }
        soon("the replica's loss of its caller", gone.cancelled()).await;
        door.idle(&upstream.endpoint).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_an_error_event() {
    let (mut upstream, pieces, _gone) = by_hand(EVENTS).await;
    let door = Door::before(upstream.alone()).await;
    pieces.send("data: 1\n\n").unwrap();
    let mut body = door.begin_chat().await.into_body();
    assert_eq!(piece(&mut body).await.as_deref(), Some("data: 1\n\n"));
    upstream.kill().await;
    let end = body.collect().await.unwrap().to_bytes();
    assert_well_ended(std::str::from_utf8(&end).unwrap());
    door.idle(&upstream.endpoint).await;
    let line = r#"chandler_gateway_requests_total{code="502",model="chat",revision="r1"} 1"#;
    assert!(door.has_metric(line).await);
}

/// `text` is an error event and `[DONE]`, and nothing else.
fn assert_well_ended(text: &str) {
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{text:?}");
    let error = events[0].strip_prefix("data: ").unwrap();
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["type"], "server_error");
    assert_eq!(error["error"]["code"], "replica_lost");
    assert_eq!(events[1], "data: [DONE]");
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

#[tokio::test]
async fn half_an_event_is_never_passed_on() {
    // A chunk is cut; a chunk is whole but its event is not; the body's length is unknown.
    let cut_chunk = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n20\r\ndata: {\"ha";
    let half_event = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n14\r\ndata: 1\n\ndata: {\"ha\n\r\n";
    let no_length =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\ndata: {\"ha";
    for answer in [cut_chunk, half_event, no_length] {
        assert!(answer.starts_with(HEAD));
        let upstream = Upstream::dying(answer).await;
        let door = Door::before(upstream.alone()).await;
        let answer = door.chat().await;
        let rest = answer.text().strip_prefix("data: 1\n\n").unwrap();
        assert_well_ended(rest);
    }
}

#[tokio::test]
async fn a_stream_without_done_is_not_taken_for_whole() {
    let orderly = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n";
    let upstream = Upstream::dying(orderly).await;
    let door = Door::before(upstream.alone()).await;
    let answer = door.chat().await;
    assert!(answer.text().contains(CUT), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_cut_after_done_is_whole() {
    let done = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n17\r\ndata: 1\n\ndata: [DONE]\n\n\r\n";
    let upstream = Upstream::dying(done).await;
    let door = Door::before(upstream.alone()).await;
    let answer = door.chat().await;
    assert_eq!(answer.text(), "data: 1\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn a_json_answer_too_long_to_hold_is_streamed() {
    let (upstream, pieces, _gone) = by_hand("application/json").await;
    let mut config = config();
    config.hold_limit = 4;
    let door = Door::open(config).await;
    door.gateway.publish(chat(upstream.alone()));
    pieces.send("[1,2").unwrap();
    pieces.send(",3,4").unwrap();
    let mut response = door.begin_chat().await;
    let mut got = String::new();
    while got.len() < 8 {
        got.push_str(&piece(response.body_mut()).await.unwrap());
    }
    pieces.send("]").unwrap();
    drop(pieces);
    let rest = read(response).await;
    assert_eq!((got.as_str(), rest.text()), ("[1,2,3,4", "]"));
    assert_eq!(rest.status, StatusCode::OK);
    door.idle(&upstream.endpoint).await;
}
