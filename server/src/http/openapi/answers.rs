//! Bodies of answers that are written as loose JSON, as types that are described and never made.

#![expect(dead_code, reason = "types that only their schemas are made of")]

use schemars::JsonSchema;

/// Why there is no answer.
#[derive(JsonSchema)]
pub(in crate::http) struct Error {
    error: Problem,
}

/// What is wrong, and what to do instead.
#[derive(JsonSchema)]
struct Problem {
    /// For a person.
    message: String,
    /// Whose fault it is.
    #[schemars(rename = "type")]
    kind: ErrorKind,
    /// The parameter that can't be taken, if it is one.
    param: Option<String>,
    /// For a program, where there is a word for it.
    code: Option<String>,
}

/// Whose fault an error is.
#[derive(JsonSchema)]
enum ErrorKind {
    #[schemars(rename = "invalid_request_error")]
    InvalidRequest,
    #[schemars(rename = "rate_limit_error")]
    RateLimit,
    #[schemars(rename = "server_error")]
    Server,
}

/// The answers to a conversation.
#[derive(JsonSchema)]
pub(in crate::http) struct ChatAnswer {
    id: String,
    #[schemars(extend("const" = "chat.completion"))]
    object: String,
    /// Unix seconds.
    created: u64,
    model: String,
    choices: Vec<ChatChoice>,
    usage: Usage,
}

/// One answer.
#[derive(JsonSchema)]
struct ChatChoice {
    index: u64,
    message: AssistantMessage,
    /// None are given.
    logprobs: (),
    finish_reason: FinishReason,
}

/// What the assistant says.
#[derive(JsonSchema)]
struct AssistantMessage {
    #[schemars(extend("const" = "assistant"))]
    role: String,
    content: String,
    /// Nothing is refused in this way.
    refusal: (),
}

/// A part of the answers to a conversation, as the data of an event. An event called `error` has an error
/// instead, and the data of the last one is `[DONE]`.
#[derive(JsonSchema)]
pub(in crate::http) struct ChatChunk {
    id: String,
    #[schemars(extend("const" = "chat.completion.chunk"))]
    object: String,
    /// Unix seconds.
    created: u64,
    model: String,
    /// Empty in the one that tells the usage.
    choices: Vec<ChatDelta>,
    /// Only where it is asked for; `null` in all but the last one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// What comes to one answer.
#[derive(JsonSchema)]
struct ChatDelta {
    index: u64,
    delta: Delta,
    /// None are given.
    logprobs: (),
    finish_reason: Option<FinishReason>,
}

/// What the assistant goes on to say.
#[derive(JsonSchema)]
struct Delta {
    /// In the first one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Nothing is refused in this way.
    #[schemars(skip_serializing_if = "Option::is_none")]
    refusal: Option<()>,
}

/// Texts that go on from prompts.
#[derive(JsonSchema)]
pub(in crate::http) struct CompletionAnswer {
    id: String,
    #[schemars(extend("const" = "text_completion"))]
    object: String,
    /// Unix seconds.
    created: u64,
    model: String,
    choices: Vec<CompletionChoice>,
    usage: Usage,
}

/// A part of them, as the data of an event; errors and the end are told as in a chat.
#[derive(JsonSchema)]
pub(in crate::http) struct CompletionChunk {
    id: String,
    #[schemars(extend("const" = "text_completion"))]
    object: String,
    /// Unix seconds.
    created: u64,
    model: String,
    /// Empty in the one that tells the usage.
    choices: Vec<CompletionChoice>,
    /// Only where it is asked for; `null` in all but the last one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// One text.
#[derive(JsonSchema)]
struct CompletionChoice {
    index: u64,
    text: String,
    /// None are given.
    logprobs: (),
    /// `null` only in a stream, until the text has ended.
    finish_reason: Option<FinishReason>,
}

/// Why an answer ended: by itself or before one of `stop`, or because it may not be longer.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum FinishReason {
    Stop,
    Length,
}

/// What a request took. A prompt counts once, whatever number of answers it gets.
#[derive(JsonSchema)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}
