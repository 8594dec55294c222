//! Callers that are slow on purpose, or too many, or say too much.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use chandler_gateway::{GatewayConfig, Pace};
use futures::stream;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Door, chat, config, piece, read, soon};
use crate::upstream::{Upstream, one_event_each};

const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(3600);

/// Nothing is ever too slow.
const PATIENT: Pace = Pace {
    head: LONG,
    idle: LONG,
    body_pause: LONG,
    body_rate: 1,
    write_pause: LONG,
};

async fn open(pace: Pace) -> Door {
    Door::open(GatewayConfig { pace, ..config() }).await
}

async fn connect(door: &Door) -> TcpStream {
    TcpStream::connect(door.addr).await.unwrap()
}

/// What comes until the connection is closed.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    // A reset is an end too.
    let _ = soon("the end of a connection", stream.read_to_end(&mut got)).await;
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let door = open(Pace {
        head: SHORT,
        ..PATIENT
    })
    .await;
    let mut slow = connect(&door).await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nx-").await.unwrap();
    assert_eq!(until_closed(&mut slow).await, "");
    let line = r#"chandler_gateway_connections_ended_total{reason="slowHead"} 1"#;
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_and_one_with_a_long_answer_is_not() {
    let (upstream, mut opened) = one_event_each().await;
    let door = open(Pace {
        idle: SHORT,
        head: SHORT,
        ..PATIENT
    })
    .await;
    door.gateway.publish(chat(upstream.alone()));
    let mut response = door.begin_chat().await;
    assert!(piece(response.body_mut()).await.is_some());
    let pieces = soon("the stream", opened.recv()).await.unwrap();
    for _ in 0..3 {
        // Each of these is looked at as often as the one with the answer.
        let mut idle = connect(&door).await;
        assert_eq!(until_closed(&mut idle).await, "");
    }
    pieces.send("data: [DONE]\n\n").unwrap();
    drop(pieces);
    assert_eq!(read(response).await.text(), "data: [DONE]\n\n");
    // A connection is idle again after an answer.
    let mut kept = connect(&door).await;
    assert!(ask(&mut kept, "").await.ends_with("ok"));
    assert_eq!(until_closed(&mut kept).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_gets_a_408() {
    let door = open(Pace {
        body_pause: SHORT,
        ..PATIENT
    })
    .await;
    let mut slow = connect(&door).await;
    slow.write_all(
        b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model\"",
    )
    .await
    .unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"body_too_slow\""), "{answer}");
    let line = r#"chandler_gateway_requests_total{code="408",model="",revision=""} 1"#;
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn a_caller_that_takes_nothing_of_its_answer_is_left() {
    let upstream = Upstream::new(|_| async {
        let event = Bytes::from(format!("data: {}\n\n", "x".repeat(1 << 16)));
        let events = stream::repeat_with(move || Ok::<_, std::io::Error>(event.clone()));
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(events),
        )
    })
    .await;
    let door = open(Pace {
        write_pause: SHORT,
        ..PATIENT
    })
    .await;
    door.gateway.publish(chat(upstream.alone()));
    let mut deaf = connect(&door).await;
    let body = r#"{"model":"chat","stream":true}"#;
    let length = body.len();
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    deaf.write_all(request.as_bytes()).await.unwrap();
    door.metric(r#"chandler_gateway_connections_ended_total{reason="slowReader"} 1"#)
        .await;
    door.idle(&upstream.endpoint).await;
}

/// Asks on a connection that is kept.
async fn ask(stream: &mut TcpStream, fields: &str) -> String {
    let request = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
    let mut answer = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    loop {
        match soon("an answer", stream.read_buf(&mut answer)).await {
            Ok(0) | Err(_) => break,
            Ok(_) if answer.ends_with(b"ok") || answer.ends_with(b"}}") => break,
            Ok(_) => {}
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_a_place_that_is_free_is_given() {
    let door = Door::open(GatewayConfig {
        max_connections: 2,
        ..config()
    })
    .await;
    let (mut first, mut second) = (connect(&door).await, connect(&door).await);
    assert!(ask(&mut first, "").await.ends_with("ok"));
    assert!(ask(&mut second, "").await.ends_with("ok"));
    let mut third = connect(&door).await;
    assert_eq!(until_closed(&mut third).await, "");
    assert!(ask(&mut first, "").await.ends_with("ok"), "it stays");
    drop(second);
    let taken = async { while !ask(&mut connect(&door).await, "").await.ends_with("ok") {} };
    soon("a place", taken).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_a_431() {
    let door = Door::before(&[]).await;
    let mut stream = connect(&door).await;
    let field = |length: usize| format!("x-a: {}\r\n", "a".repeat(length));
    let fits = ask(&mut stream, &field(30 << 10)).await;
    assert!(fits.ends_with("ok"), "{fits}");
    // In the API's words.
    let large = ask(&mut stream, &field(40 << 10)).await;
    assert!(large.starts_with("HTTP/1.1 431 "), "{large}");
    assert!(large.contains("request_headers_too_large"), "{large}");
    assert!(
        ask(&mut stream, "").await.ends_with("ok"),
        "the connection lives on"
    );
    // Not even read.
    for fields in [field(100 << 10), "x-a: a\r\n".repeat(100)] {
        let mut stream = connect(&door).await;
        let bare = ask(&mut stream, &fields).await;
        assert!(bare.starts_with("HTTP/1.1 431 "), "{bare}");
    }
    let many = ask(&mut connect(&door).await, &"x-a: a\r\n".repeat(99)).await;
    assert!(many.ends_with("ok"), "{many}");
    assert_eq!(door.get("/livez").await.status, StatusCode::OK);
}
