//! The binary with real models: answers, metrics, exit codes.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{CHAT_MODEL, EMBEDDING_MODEL, Process, model};

fn question(extra: &[(&str, Value)]) -> Value {
    let mut body = json!({
        "model": "m",
        // Under the long system message that its template would put in, this small model answers
        // in French nonsense; llama.cpp gives the same.
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France?"},
        ],
        "temperature": 0,
        "max_tokens": 32,
    });
    for (name, value) in extra {
        body[*name] = value.clone();
    }
    body
}

fn streamed_text(events: &str) -> String {
    let data = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let data: Vec<&str> = data.collect();
    let Some((&"[DONE]", chunks)) = data.split_last() else {
        panic!("the stream does not end in [DONE]: {events}");
    };
    let chunks = chunks
        .iter()
        .map(|chunk| serde_json::from_str::<Value>(chunk).unwrap());
    let text = chunks.filter_map(|chunk| {
        let delta = chunk["choices"][0]["delta"]["content"].as_str();
        delta.map(str::to_owned)
    });
    text.collect()
}

#[tokio::test]
async fn a_chat_model_answers_and_stops() {
    let extra = ["--revision-name", "ab12", "--exit-with-parent"];
    let mut server = Process::start(&model(CHAT_MODEL), &extra);
    server.ready().await;
    let (status, startup) = server.get("/startupz").await;
    assert_eq!(status, 200, "{startup}");
    assert!(startup.contains(r#""phase":"ready""#));
    assert_eq!(server.metric("vllm:generation_tokens_total").await, 0.0);

    let whole = server
        .post_json("/v1/chat/completions", &question(&[]))
        .await;
    let answer = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(answer.contains("Paris"), "{answer}");
    let stream = question(&[("stream", json!(true))]);
    let (status, events) = server.post("/v1/chat/completions", &stream).await;
    assert_eq!((status, streamed_text(&events).as_str()), (200, answer));

    let tokens = whole["usage"]["completion_tokens"].as_f64().unwrap();
    let generated = server.metric("vllm:generation_tokens_total").await;
    assert_eq!(generated, 2.0 * tokens);
    assert_eq!(
        server
            .metric("vllm:time_to_first_token_seconds_count")
            .await,
        2.0
    );

    let sampled = [("temperature", 1), ("seed", 4), ("max_tokens", 8)];
    let sampled = question(&sampled.map(|(name, value)| (name, json!(value))));
    let first = server.post_json("/v1/chat/completions", &sampled).await;
    let again = server.post_json("/v1/chat/completions", &sampled).await;
    assert_eq!(first["choices"], again["choices"]);

    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test]
async fn an_embedding_model_answers_and_stops_with_its_parent() {
    let mut server = Process::start(&model(EMBEDDING_MODEL), &["--exit-with-parent"]);
    server.ready().await;
    let texts = [
        "A cat sits on the mat.",
        "A kitten rests on a rug.",
        "Stocks fell sharply.",
    ];
    let body = json!({"model": "m", "input": texts});
    let answer = server.post_json("/v1/embeddings", &body).await;
    let vectors: Vec<Vec<f64>> = (0..3)
        .map(|index| serde_json::from_value(answer["data"][index]["embedding"].clone()).unwrap())
        .collect();
    let dot = |a: usize, b: usize| -> f64 {
        vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum()
    };
    for (index, vector) in vectors.iter().enumerate() {
        assert_eq!(vector.len(), 384);
        assert!((dot(index, index) - 1.0).abs() < 1e-5);
    }
    assert!(dot(0, 1) > dot(0, 2) + 0.2);
    let tokens = answer["usage"]["prompt_tokens"].as_f64().unwrap();
    assert_eq!(server.metric("vllm:prompt_tokens_total").await, tokens);

    server.end_stdin();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_truncated_model_fails_for_good_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    let mut bytes = fs::read(model(CHAT_MODEL)).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, bytes).unwrap();
    let mut server = Process::start(&file, &[]);
    let failed = server.line();
    assert_eq!(failed["event"], "failed");
    assert_eq!(failed["reason"], "WeightsTruncated");
    assert_eq!(failed["transient"], false);
    assert!(failed["message"].as_str().unwrap().contains("model.gguf"));
    assert_eq!(server.wait().code(), Some(65));
}

#[test]
fn a_source_that_is_not_there_fails_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("nothing.gguf"), &[]);
    assert_eq!(server.line()["reason"], "NotFound");
    assert_eq!(server.wait().code(), Some(65));
}

#[test]
fn a_port_in_use_is_worth_another_try() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_chandler-server"))
        .args([
            "serve",
            "--source",
            "file:///m",
            "--served-name",
            "m",
            "--listen",
            &address,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    let failed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failed["reason"], "ListenFailed");
    assert!(failed["message"].as_str().unwrap().contains("--listen"));
}
