//! The first answer: a replica that says it is ready is asked for what callers will ask.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chandler_core::world::Failure;
use chandler_crds::names::api;
use serde_json::{Value, json};

use crate::http::Client;

/// Ample for one token of a slow model on a busy machine.
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Asks for one short answer and looks at it; gives how long it took from sent to answered.
///
/// # Errors
/// Why there is none.
pub async fn first_answer(
    client: &Client,
    addr: SocketAddr,
    name: &str,
) -> Result<Duration, Failure> {
    let question = question(client, addr, name).await?;
    let sent = Instant::now();
    let (status, told) = client
        .post(addr, question.path, &question.body, PROBE_TIME)
        .await
        .map_err(|error| failed(&error.to_string()))?;
    let took = sent.elapsed();
    if !status.is_success() || told.pointer(question.answer).is_none() {
        let message = told
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or("no answer in it");
        return Err(failed(&format!(
            "{} gave {status}: {message}",
            question.path
        )));
    }
    Ok(took)
}

/// What to ask, where, and where in the reply the answer stands.
struct Question {
    path: &'static str,
    body: Value,
    answer: &'static str,
}

/// The question that fits the task which the replica says it does.
async fn question(client: &Client, addr: SocketAddr, name: &str) -> Result<Question, Failure> {
    let (status, models) = client
        .get(addr, api::MODELS, PROBE_TIME)
        .await
        .map_err(|error| failed(&error.to_string()))?;
    if !status.is_success() {
        return Err(failed(&format!("{} gave {status}", api::MODELS)));
    }
    let task = models.pointer("/data/0/task").and_then(Value::as_str);
    Ok(match task {
        Some("embedding") => Question {
            path: api::EMBEDDINGS,
            body: json!({"model": name, "input": "hello"}),
            answer: "/data/0/embedding",
        },
        Some("classification") => Question {
            path: api::CLASSIFY,
            body: json!({"model": name, "input": "hello"}),
            answer: "/data/0/label",
        },
        _ => Question {
            path: api::COMPLETIONS,
            body: json!({"model": name, "prompt": "Hello", "max_tokens": 1}),
            answer: "/choices/0/text",
        },
    })
}

fn failed(message: &str) -> Failure {
    Failure {
        reason: "ProbeFailed".to_owned(),
        message: message.to_owned(),
        transient: true,
    }
}
