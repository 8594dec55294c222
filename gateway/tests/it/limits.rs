use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Door, soon};
use crate::upstream::Upstream;

const TEN_MB: usize = 10_000_000;

#[tokio::test]
async fn bad_bodies_are_refused_with_what_to_do() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    for (body, param, code, says) in [
        (
            "{\"model\": \"chat\",\n nope",
            Value::Null,
            "invalid_json",
            "line 2 column 2",
        ),
        ("", Value::Null, "invalid_json", "line 1 column 0"),
        ("[1]", Value::Null, "invalid_json", "JSON object"),
        (
            "{}",
            json!("model"),
            "missing_required_parameter",
            "\"model\": \"NAME\"",
        ),
        (
            "{\"model\": 5}",
            json!("model"),
            "invalid_type",
            "is a number",
        ),
    ] {
        let answer = door.send(Method::POST, "/v1/completions", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            answer.error(),
            ("invalid_request_error".into(), param, code.into())
        );
        assert!(answer.message().contains(says), "{}", answer.message());
    }
    assert_eq!(upstream.requests(), 0);
    let line = r#"chandler_gateway_requests_total{code="400",model="",revision=""} 5"#;
    assert!(door.has_metric(line).await);
}

/// Writes all of `request` before it reads a byte, as simple clients do, and gives the answer.
async fn write_then_read(door: &Door, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    soon("the body to be taken", stream.write_all(request))
        .await
        .unwrap();
    read_answer(&mut stream).await
}

/// Reads until the JSON of an error is complete.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        let read = soon("the answer", stream.read_buf(&mut answer))
            .await
            .unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

fn assert_too_large(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("\"code\":\"request_too_large\""),
        "{answer}"
    );
    assert!(answer.contains("4194304 bytes"), "{answer}");
}

#[tokio::test]
async fn a_body_of_ten_megabytes_gets_its_413() {
    let door = Door::before(&[]).await;
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {TEN_MB}\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + TEN_MB, b'x');
    assert_too_large(&write_then_read(&door, &request).await);
}

#[tokio::test]
async fn a_chunked_body_of_ten_megabytes_gets_its_413() {
    let door = Door::before(&[]).await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut request = head.as_bytes().to_vec();
    for _ in 0..10 {
        request.extend_from_slice(format!("{:x}\r\n", TEN_MB / 10).as_bytes());
        request.resize(request.len() + TEN_MB / 10, b'x');
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_too_large(&write_then_read(&door, &request).await);
}

#[tokio::test]
async fn who_asks_first_is_refused_without_sending() {
    let door = Door::before(&[]).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {TEN_MB}\r\n\r\n"
    );
    assert_too_large(&write_then_read(&door, head.as_bytes()).await);
}

#[tokio::test]
async fn the_connection_lives_on_after_a_413() {
    let door = Door::before(&[]).await;
    let mut request =
        format!("POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {TEN_MB}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + TEN_MB, b'x');
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    for _ in 0..2 {
        soon("the body to be taken", stream.write_all(&request))
            .await
            .unwrap();
        assert_too_large(&read_answer(&mut stream).await);
    }
}

#[tokio::test]
async fn a_body_at_the_limit_passes() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    let mut body = br#"{"model":"chat","pad":""#.to_vec();
    body.resize((4 << 20) - 2, b'x');
    body.extend_from_slice(b"\"}");
    let answer = door.send(Method::POST, "/v1/embeddings", body).await;
    assert_eq!((answer.status, upstream.requests()), (StatusCode::OK, 1));
}
