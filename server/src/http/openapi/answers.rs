//! Bodies of answers that are written as loose JSON, as types that are described and never made.

#![expect(dead_code, reason = "types that only their schemas are made of")]

use std::collections::BTreeMap;

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
    /// `null` where they are not asked for.
    logprobs: Option<ChatLogprobs>,
    finish_reason: ChatFinishReason,
}

/// What the assistant says.
#[derive(JsonSchema)]
struct AssistantMessage {
    #[schemars(extend("const" = "assistant"))]
    role: String,
    /// `null` where there are only calls.
    content: Option<String>,
    /// Calls of tools, where there are some.
    #[schemars(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<ToolCall>>,
    /// Nothing is refused in this way.
    refusal: (),
}

/// A call of one of the caller's tools.
#[derive(JsonSchema)]
struct ToolCall {
    id: String,
    #[schemars(rename = "type", extend("const" = "function"))]
    kind: String,
    function: CalledFunction,
}

#[derive(JsonSchema)]
struct CalledFunction {
    name: String,
    /// JSON, as the model wrote it.
    arguments: String,
}

/// How likely the tokens of a chat's answer were.
#[derive(JsonSchema)]
struct ChatLogprobs {
    content: Vec<TokenLogprob>,
    /// Nothing is refused.
    refusal: (),
}

#[derive(JsonSchema)]
struct TokenLogprob {
    #[schemars(flatten)]
    token: Likelihood,
    /// The likeliest in its place.
    top_logprobs: Vec<Likelihood>,
}

/// A token and the natural logarithm of its probability.
#[derive(JsonSchema)]
struct Likelihood {
    /// Its text, with U+FFFD for what is no whole character.
    token: String,
    logprob: f32,
    /// `null` for a special token.
    bytes: Option<Vec<u8>>,
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
    /// Of the tokens that begin in it, where they are asked for.
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<ChatFinishReason>,
}

/// What the assistant goes on to say.
#[derive(JsonSchema)]
struct Delta {
    /// In the first one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// A piece of a call.
    #[schemars(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<ToolCallPiece>>,
    /// Nothing is refused in this way.
    #[schemars(skip_serializing_if = "Option::is_none")]
    refusal: Option<()>,
}

/// The first piece of a call has its `id` and `name`, the others more of its arguments.
#[derive(JsonSchema)]
struct ToolCallPiece {
    /// Of the call, among those of the answer.
    index: u64,
    #[schemars(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[schemars(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    function: FunctionPiece,
}

#[derive(JsonSchema)]
struct FunctionPiece {
    #[schemars(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
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
    /// `null` where they are not asked for.
    logprobs: Option<CompletionLogprobs>,
    /// `null` only in a stream, until the text has ended.
    finish_reason: Option<FinishReason>,
}

/// How likely the tokens of a text were: for each its text, the natural logarithm of its probability, those of the
/// likeliest in its place, and where its text begins, in characters. The first token of a prompt has neither of the two.
#[derive(JsonSchema)]
struct CompletionLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    text_offset: Vec<u64>,
}

/// Why an answer ended: as a text's, or with calls of tools.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum ChatFinishReason {
    Stop,
    Length,
    ToolCalls,
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
