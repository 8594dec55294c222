//! What is said on a caller's connection, byte by byte.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Door, soon};
use crate::upstream::Upstream;

struct Caller(TcpStream);

impl Caller {
    async fn before(door: &Door) -> Self {
        Self(TcpStream::connect(door.addr).await.unwrap())
    }

    async fn says(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what came ends so.
    async fn hears(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            let read = soon("an answer", self.0.read_buf(&mut got)).await.unwrap();
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&got));
        }
        String::from_utf8(got).unwrap()
    }

    /// Reads to the orderly end of the connection.
    async fn hears_all(&mut self) -> String {
        let mut got = String::new();
        soon("the end", self.0.read_to_string(&mut got))
            .await
            .unwrap();
        got
    }
}

fn chat(fields: &str, version: &str) -> String {
    let body = r#"{"model":"chat"}"#;
    let length = body.len();
    format!(
        "POST /v1/completions HTTP/{version}\r\nhost: x\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// A replica whose answers are of no told length.
async fn untold() -> Upstream {
    Upstream::new(|_| async {
        let parts = ["some", " ", "audio"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
        (
            [("content-type", "audio/mpeg")],
            Body::from_stream(stream::iter(parts)),
        )
    })
    .await
}

#[tokio::test]
async fn requests_that_come_together_are_answered_one_after_the_other() {
    let door = Door::before(&[]).await;
    let mut caller = Caller::before(&door).await;
    let one = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let last = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    caller.says(&format!("{one}{one}\r\n{last}")).await;
    let all = caller.hears_all().await;
    assert_eq!(all.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{all}");
    assert_eq!(all.matches("\r\n\r\nok").count(), 3, "{all}");
    assert_eq!(all.matches("connection: close\r\n").count(), 1, "{all}");
}

#[tokio::test]
async fn an_answer_of_untold_length_comes_in_chunks_or_ends_the_connection() {
    let upstream = untold().await;
    let door = Door::before(upstream.alone()).await;
    let mut caller = Caller::before(&door).await;
    for _ in 0..2 {
        caller.says(&chat("", "1.1")).await;
        let answer = caller.hears("\r\n0\r\n\r\n").await;
        assert!(
            answer.contains("transfer-encoding: chunked\r\n"),
            "{answer}"
        );
    }
    caller
        .says(&chat("connection: keep-alive\r\n", "1.0"))
        .await;
    let answer = caller.hears_all().await;
    assert!(answer.ends_with("\r\n\r\nsome audio"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn an_old_caller_keeps_its_connection_if_it_asks_to() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    let mut caller = Caller::before(&door).await;
    for _ in 0..2 {
        caller
            .says(&chat("connection: Keep-Alive\r\n", "1.0"))
            .await;
        let answer = caller.hears("}").await;
        assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
    }
    caller.says(&chat("", "1.0")).await;
    let answer = caller.hears_all().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn who_asks_first_is_told_to_go_on() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    let mut caller = Caller::before(&door).await;
    let request = chat("expect: 100-continue\r\n", "1.1");
    let (head, body) = request.split_at(request.find("{").unwrap());
    for _ in 0..2 {
        caller.says(head).await;
        assert_eq!(
            caller.hears("\r\n\r\n").await,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        caller.says(body).await;
        assert!(caller.hears("}").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_head_alone_is_answered_by_one() {
    let door = Door::before(&[]).await;
    let mut caller = Caller::before(&door).await;
    caller.says("HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = caller.hears("\r\n\r\n").await;
    assert!(head.contains("content-length: 2\r\n"), "{head}");
    caller.says("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let next = caller.hears("ok").await;
    assert!(next.starts_with("HTTP/1.1 200 OK\r\n"), "{next}");
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_and_reaches_no_replica() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    for fields in [
        "transfer-encoding: chunked\r\n",
        "content-length: 3\r\n",
        "transfer-encoding: gzip\r\n",
        "host : x\r\n",
        "a: b\nc: d\r\n",
        " folded\r\n",
        "x: a\0b\r\n",
    ] {
        let mut caller = Caller::before(&door).await;
        let next = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
        caller.says(&format!("{}{next}", chat(fields, "1.1"))).await;
        let answer = caller.hears_all().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
        assert!(
            answer.contains("\"code\":\"malformed_request\""),
            "{answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            2,
            "one answer: {answer}"
        );
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_refusal_reaches_a_caller_that_is_still_sending() {
    let door = Door::before(&[]).await;
    let mut caller = Caller::before(&door).await;
    let length = 8 << 20;
    caller
        .says(&format!(
            "POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    let body = vec![b'x'; length];
    soon("the body to be taken", caller.0.write_all(&body))
        .await
        .unwrap();
    let answer = caller.hears_all().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}
