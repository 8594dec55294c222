//! A caller's prompt as it is asked aside, and the text of an answer.

use chandler_crds::names::api;
use serde_json::{Map, Value, json};

use crate::call::Call;

/// Most tokens of an answer.
const TOKENS: u64 = 256;
/// After all others that wait at a replica.
const LAST: i32 = 1_000_000;
/// What changes how an answer is told, or makes more than one of it.
const OTHERS: [&str; 8] = [
    "stream_options",
    "logprobs",
    "top_logprobs",
    "echo",
    "n",
    "best_of",
    "seed",
    "user",
];
/// The two names of the most tokens of an answer.
const MOST: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// The prompt alone: answered once, whole, by the likeliest tokens, in a bounded time. `None` of a call that asks for no text.
pub(super) fn alone(call: &Call) -> Option<Call> {
    let is_chat = call.path() == api::CHAT;
    if !is_chat && call.path() != api::COMPLETIONS {
        return None;
    }
    let mut body: Map<String, Value> = serde_json::from_slice(call.body()).ok()?;
    let asked = MOST.iter().filter_map(|name| body.remove(*name)?.as_u64());
    let asked = asked.reduce(|_, newer| newer);
    // A completion has few tokens if it says nothing.
    if asked.is_some() || is_chat {
        body.insert(
            MOST[0].to_owned(),
            json!(asked.unwrap_or(TOKENS).min(TOKENS)),
        );
    }
    for name in OTHERS {
        body.remove(name);
    }
    body.insert("stream".to_owned(), json!(false));
    body.insert("temperature".to_owned(), json!(0));
    body.insert("priority".to_owned(), json!(LAST));
    let body = serde_json::to_vec(&body).ok()?;
    Some(call.aside(body.into()))
}

/// All that an answer says, calls of tools included; `None` if it is none.
pub(super) fn text(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let choices = answer["choices"].as_array().filter(|it| !it.is_empty())?;
    let mut told = String::new();
    for choice in choices {
        let message = &choice["message"];
        let text = choice["text"].as_str().or(message["content"].as_str());
        told += text.unwrap_or_default();
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            for part in [&function["name"], &function["arguments"]] {
                told += part.as_str().unwrap_or_default();
            }
        }
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_text_has_its_calls() {
        let told = |choice: Value| text(json!({"choices": [choice]}).to_string().as_bytes());
        assert_eq!(told(json!({"text": "a"})), Some("a".to_owned()));
        let call = json!({"id": "call_1", "function": {"name": "f", "arguments": "{}"}});
        let message = json!({"message": {"content": null, "tool_calls": [call]}});
        assert_eq!(told(message), Some("f{}".to_owned()));
        assert_eq!(text(b"{\"choices\": []}"), None);
        assert_eq!(text(b"no"), None);
    }
}
