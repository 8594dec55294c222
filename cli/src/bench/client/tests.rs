use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that gives every connection the same answer, and its address.
async fn server(answer: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/v1/").parse().expect("an address")
}

/// Reads a whole question: who closes before sees its answer lost.
async fn read(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|it| it.parse().ok()).unwrap_or(0) <= body.len() {
                return;
            }
        }
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// A whole answer of this status.
fn answer(status: u16, body: &str) -> &'static str {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
    text.leak()
}

fn question(task: Task) -> Question {
    Question {
        model: "m".to_owned(),
        task,
        texts: vec!["hello".to_owned()],
        generated: 2,
    }
}

async fn asked(answer: &'static str, task: Task, key: Option<&str>) -> Result<Answer, Fault> {
    let url = server(answer).await;
    let client = Client::new(&url, key.map(str::to_owned)).expect("a client");
    client.ask(&question(task)).await
}

#[tokio::test]
async fn vectors_and_texts_are_counted_as_the_server_tells() {
    let vectors = answer(200, r#"{"usage":{"prompt_tokens": 7}}"#);
    let answer = asked(vectors, Task::Vectors, None).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.prompt_tokens, answer.generated_tokens), (7, 0));
    assert_eq!(answer.first, answer.whole);
    let stream = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
        data: {\"choices\":[{\"text\":\"\"}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"text\":\"a\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: [DONE]\n\n";
    let answer = asked(stream, Task::Text, None).await.expect("an answer");
    assert_eq!((answer.prompt_tokens, answer.generated_tokens), (5, 2));
    assert!(answer.first <= answer.whole);
}

#[tokio::test]
async fn what_is_no_answer_says_what_to_do() {
    let told = |status| answer(status, "");
    let error = answer(400, r#"{"error":{"message":"it is too long"}}"#);
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
        data: {\"choices\":[{\"text\":\"a\"}]}\n\n\
        data: {\"error\":{\"message\":\"time is up\"}}\n\n";
    let silent = answer(200, "{}");
    for (answer, task, key, reason, words) in [
        (
            told(401),
            Task::Text,
            None,
            "ApiKeyMissing",
            "CHANDLER_API_KEY",
        ),
        (told(401), Task::Text, Some("k"), "ApiKeyRefused", "(401)"),
        (
            told(403),
            Task::Text,
            Some("k"),
            "ApiKeyRefused",
            "may use the model",
        ),
        (
            told(429),
            Task::Vectors,
            None,
            "Busy",
            "nobody else asks it",
        ),
        (
            told(503),
            Task::Vectors,
            None,
            "ServerFailed",
            "the server's log",
        ),
        (
            error,
            Task::Vectors,
            None,
            "RequestRefused",
            "(400): it is too long",
        ),
        (cut, Task::Text, None, "AnswerBroken", "time is up"),
        (silent, Task::Vectors, None, "UsageMissing", "`usage`"),
    ] {
        let fault = asked(answer, task, key).await.expect_err(reason);
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[tokio::test]
async fn servers_of_something_else_are_told_apart() {
    let client = |url: &Url| Client::new(url, None).expect("a client");
    let page = server(answer(200, "<html>")).await;
    let fault = client(&page).models().await.expect_err("no models");
    assert_eq!(fault.reason(), "ModelsMissing");
    let fault = client(&page).metrics().await.expect_err("no metrics");
    assert_eq!(fault.reason(), "MetricsMissing");
    let lost = server(answer(404, "")).await;
    let fault = client(&lost).models().await.expect_err("no models");
    assert_eq!(fault.reason(), "ModelsMissing");
    let fault = client(&lost).metrics().await.expect_err("no metrics");
    assert!(fault.to_string().contains("--replica-model"), "{fault}");
    let nobody = "http://127.0.0.1:1".parse().expect("an address");
    let fault = client(&nobody).models().await.expect_err("nobody");
    assert_eq!(fault.reason(), "Unreachable");
    assert!(
        fault.to_string().contains("is the server running"),
        "{fault}"
    );
}
