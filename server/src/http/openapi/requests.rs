//! Bodies of requests, as types that are described and never made: requests are read field by field, so that
//! each error can name its parameter. A test compares their names and bounds with what is read.

#![expect(dead_code, reason = "types that only their schemas are made of")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::super::openai::{MAX_INPUTS, MAX_STOPS};
use super::forms::{Call, Forms, Tools};

/// A conversation to be answered. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct ChatRequest {
    /// The name that the model is served by.
    model: String,
    /// What was said, the oldest first.
    #[schemars(length(min = 1))]
    messages: Vec<Message>,
    /// Whether each token's log probability is told.
    logprobs: Option<bool>,
    /// So many of the likeliest tokens are told beside each one, where `logprobs` are.
    #[schemars(range(min = 0, max = 20))]
    top_logprobs: Option<u64>,
    /// Most tokens of an answer, which may fill the context without it.
    #[schemars(range(min = 1))]
    max_tokens: Option<u64>,
    /// The newer name of `max_tokens`, which wins where both are given.
    #[schemars(range(min = 1))]
    max_completion_tokens: Option<u64>,
    /// The conversation is not repeated.
    #[schemars(extend("enum" = [false, null]))]
    echo: Option<bool>,
    #[schemars(flatten)]
    tools: Tools,
    #[schemars(flatten)]
    params: Params,
}

/// One message of a conversation. Other fields are not looked at.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Message {
    ToModel {
        role: Speaker,
        /// What is said.
        content: Content,
    },
    OfModel {
        #[schemars(extend("const" = "assistant"))]
        role: String,
        /// What was said.
        content: Option<Content>,
        /// The calls that it made.
        tool_calls: Option<Vec<Call>>,
    },
    OfTool {
        #[schemars(extend("const" = "tool"))]
        role: String,
        /// What the tool answered.
        content: Content,
        /// The `id` of the call.
        tool_call_id: String,
    },
}

/// Who speaks to the model. `developer` is the newer name of `system`.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Speaker {
    System,
    Developer,
    User,
}

/// A text, in one piece or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Content {
    Whole(String),
    Parts(Vec<Part>),
}

/// A piece of a text.
#[derive(JsonSchema)]
struct Part {
    #[schemars(rename = "type", extend("const" = "text"))]
    kind: String,
    text: String,
}

/// Texts to go on from. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct CompletionRequest {
    /// The name that the model is served by.
    model: String,
    /// One prompt or several: texts, or token ids.
    prompt: Inputs,
    /// Each token's log probability is told, and so many of the likeliest beside it.
    #[schemars(range(min = 0, max = 5))]
    logprobs: Option<u64>,
    /// Whether the text begins with the prompt, and `logprobs` with its tokens.
    echo: Option<bool>,
    /// Most tokens of an answer, 16 without it. With 0 nothing is written.
    #[schemars(range(min = 0))]
    max_tokens: Option<u64>,
    /// The newer name of `max_tokens`, which wins where both are given.
    #[schemars(range(min = 0))]
    max_completion_tokens: Option<u64>,
    #[schemars(flatten)]
    params: Params,
}

/// A text, several, the token ids of one, or those of several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Inputs {
    Text(String),
    Texts(#[schemars(length(min = 1))] Vec<String>),
    Tokens(#[schemars(length(min = 1))] Vec<u32>),
    Lists(#[schemars(length(min = 1))] Vec<Vec<u32>>),
}

/// How an answer is to be written and told.
#[derive(JsonSchema)]
struct Params {
    /// Answers to each prompt.
    #[schemars(range(min = 1))]
    n: Option<u64>,
    /// An answer ends before the first of these, which is not in it.
    stop: Option<Stop>,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[schemars(flatten)]
    sampling: Sampling,
    #[schemars(flatten)]
    standing: Standing,
    #[schemars(flatten)]
    forms: Forms,
    #[schemars(flatten)]
    harmless: Harmless,
}

/// Texts that end an answer.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Stop {
    One(#[schemars(length(min = 1))] String),
    Several(#[schemars(length(max = MAX_STOPS), inner(length(min = 1)))] Vec<String>),
}

/// What a stream tells besides.
#[derive(JsonSchema)]
struct StreamOptions {
    /// Whether a last chunk tells the usage.
    include_usage: Option<bool>,
}

/// How tokens are chosen.
#[derive(JsonSchema)]
struct Sampling {
    /// Randomness; 0 always takes the likeliest token. 1 unless told otherwise.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// The fewest likeliest tokens that have this share of all probability are drawn from.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    top_p: Option<f64>,
    /// As many of the likeliest tokens are drawn from; 0 or -1 is all.
    #[schemars(range(min = -1))]
    top_k: Option<i64>,
    /// Tokens less likely than this share of the likeliest one's probability are not drawn.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_p: Option<f64>,
    /// Divides what speaks for tokens that are in the prompt or the answer already; 1 changes nothing.
    #[schemars(range(min = 0.01, max = 100.0))]
    repetition_penalty: Option<f64>,
    /// Taken from a token's logit for each time that the answer has it.
    #[schemars(range(min = -2.0, max = 2.0))]
    frequency_penalty: Option<f64>,
    /// Taken from a token's logit once the answer has it.
    #[schemars(range(min = -2.0, max = 2.0))]
    presence_penalty: Option<f64>,
    /// Added to the logits of these tokens, by their ids.
    logit_bias: Option<BTreeMap<u32, Bias>>,
    /// The same seed gives the same answer, whatever else is computed with it. At most 64 bits, with a sign or
    /// without.
    #[schemars(default, schema_with = "whole_number")]
    seed: Option<i64>,
}

fn whole_number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["integer", "null"]})
}

/// What is added to a token's logit.
#[derive(JsonSchema)]
#[schemars(inline)]
struct Bias(#[schemars(range(min = -100.0, max = 100.0))] f64);

/// Where the request stands among those that wait.
#[derive(JsonSchema)]
struct Standing {
    /// Whose it is, as a rule a string: callers take turns.
    user: Option<Value>,
    /// The smaller goes first. 0 unless told otherwise.
    priority: Option<i32>,
}

/// Parameters of OpenAI's API that this server has no use for, with the values that ask nothing of it.
#[derive(JsonSchema)]
struct Harmless {
    /// Not looked at.
    metadata: Option<Value>,
    /// Not looked at: what prompts have in common is found without it.
    prompt_cache_key: Option<Value>,
    /// Not looked at.
    safety_identifier: Option<Value>,
    /// Not looked at.
    service_tier: Option<Value>,
    /// Not looked at: nothing is stored.
    store: Option<Value>,
    /// All answers that are written are given.
    #[schemars(extend("enum" = [1, null]))]
    best_of: Option<u64>,
    /// The older name of `tools`: none.
    #[schemars(extend("enum" = ["", [], {}, null]))]
    functions: Option<Value>,
    /// The older name of `tool_choice`.
    #[schemars(extend("enum" = ["none", "auto", null]))]
    function_call: Option<String>,
    /// Answers are plain text.
    #[schemars(extend("enum" = [["text"], null]))]
    modalities: Option<Vec<String>>,
    /// Answers are plain text.
    #[schemars(extend("enum" = ["", [], {}, null]))]
    audio: Option<Value>,
    /// Answers only go on from the prompt.
    #[schemars(extend("enum" = ["", [], {}, null]))]
    suffix: Option<Value>,
}

/// Texts to be turned into vectors. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct EmbeddingRequest {
    /// The name that the model is served by.
    model: String,
    input: ManyInputs,
    /// Whether vectors are told as numbers, or as their bytes in base64: little-endian `f32`.
    encoding_format: Option<EncodingFormat>,
    /// The length of the vectors, which the model alone decides.
    #[schemars(range(min = 1))]
    dimensions: Option<u64>,
    /// Not looked at.
    user: Option<Value>,
}

/// Texts whose labels are to be told. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct ClassificationRequest {
    /// The name that the model is served by.
    model: String,
    input: ManyInputs,
    /// Not looked at.
    user: Option<Value>,
}

/// A text or a conversation whose tokens are to be told: `prompt` or `messages`. A field that is `null` counts as
/// absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct TokenizeRequest {
    /// The name that the model is served by.
    model: String,
    /// The text.
    prompt: Option<String>,
    /// The conversation, where the model takes such: its tokens are those of what the chat template makes of it.
    #[schemars(length(min = 1))]
    messages: Option<Vec<Message>>,
    #[schemars(flatten)]
    tools: Tools,
    /// Whether a text has its special tokens; it has unless told otherwise. A conversation has those of its template.
    add_special_tokens: Option<bool>,
    /// Whether a conversation ends where the model is to answer; it does unless told otherwise.
    add_generation_prompt: Option<bool>,
    /// The last message is whole.
    #[schemars(extend("enum" = [false, null]))]
    continue_final_message: Option<bool>,
    /// Whether it is told how the vocabulary writes each token.
    return_token_strs: Option<bool>,
    /// Not looked at.
    user: Option<Value>,
}

/// Tokens whose text is to be told. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::http) struct DetokenizeRequest {
    /// The name that the model is served by.
    model: String,
    tokens: Ids,
    /// Not looked at.
    user: Option<Value>,
}

/// Token ids.
#[derive(JsonSchema)]
struct Ids(Vec<u32>);

/// A text, several, the token ids of one, or those of several.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ManyInputs {
    Text(#[schemars(length(min = 1))] String),
    Texts(#[schemars(length(min = 1, max = MAX_INPUTS), inner(length(min = 1)))] Vec<String>),
    Tokens(#[schemars(length(min = 1))] Vec<u32>),
    Lists(#[schemars(length(min = 1, max = MAX_INPUTS), inner(length(min = 1)))] Vec<Vec<u32>>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum EncodingFormat {
    Float,
    Base64,
}
