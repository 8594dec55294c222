//! The first answer: a replica that says it is ready is asked for what callers will ask.

use std::net::SocketAddr;
use std::time::Duration;

use chandler_core::world::Failure;
use chandler_crds::names::api;
use serde_json::{Value, json};

use super::http::Client;

/// Ample for one token of a slow model on a busy machine.
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Asks for one short answer and looks at it.
///
/// # Errors
/// Why there is none.
pub(super) async fn first_answer(
    client: &Client,
    addr: SocketAddr,
    name: &str,
) -> Result<(), Failure> {
    let (status, models) = client
        .get(addr, api::MODELS, PROBE_TIME)
        .await
        .map_err(|error| failed(&error.to_string()))?;
    let task = models
        .pointer("/data/0/task")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !status.is_success() {
        return Err(failed(&format!("{} gave {status}", api::MODELS)));
    }
    let (path, body, answer) = if task == "embedding" {
        (
            api::EMBEDDINGS,
            json!({"model": name, "input": "hello"}),
            "/data/0/embedding",
        )
    } else {
        (
            api::COMPLETIONS,
            json!({"model": name, "prompt": "Hello", "max_tokens": 1}),
            "/choices/0/text",
        )
    };
    let (status, told) = client
        .post(addr, path, &body, PROBE_TIME)
        .await
        .map_err(|error| failed(&error.to_string()))?;
    if !status.is_success() || told.pointer(answer).is_none() {
        let message = told
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or("no answer in it");
        return Err(failed(&format!("{path} gave {status}: {message}")));
    }
    Ok(())
}

fn failed(message: &str) -> Failure {
    Failure {
        reason: "ProbeFailed".to_owned(),
        message: message.to_owned(),
        transient: true,
    }
}
