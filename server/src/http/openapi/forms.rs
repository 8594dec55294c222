//! What requests say of the form of answers and of tools, as types that are described and never made.

#![expect(dead_code, reason = "types that only their schemas are made of")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// The form that an answer is held to; one of these at most.
#[derive(JsonSchema)]
pub(super) struct Forms {
    response_format: Option<ResponseFormat>,
    structured_outputs: Option<StructuredOutputs>,
    /// The older name of `structured_outputs.json`.
    guided_json: Option<JsonForm>,
    /// The older name of `structured_outputs.regex`.
    guided_regex: Option<String>,
    /// The older name of `structured_outputs.grammar`.
    guided_grammar: Option<String>,
    /// The older name of `structured_outputs.choice`.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    guided_choice: Option<Vec<String>>,
}

/// A JSON schema, as an object or as the text of one.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum JsonForm {
    Schema(Map<String, Value>),
    Text(String),
}

/// Plain text, any JSON object, or JSON that a schema takes.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ResponseFormat {
    Plain {
        #[schemars(rename = "type", extend("enum" = ["text", "json_object"]))]
        kind: String,
    },
    Schema {
        #[schemars(rename = "type", extend("const" = "json_schema"))]
        kind: String,
        json_schema: DescribedSchema,
    },
}

/// A schema, and what it is called. Other fields are not looked at.
#[derive(JsonSchema)]
struct DescribedSchema {
    schema: JsonForm,
}

/// What an answer is held to, as vLLM asks for it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct StructuredOutputs {
    json: Option<JsonForm>,
    /// In the syntax of Rust's `regex`; the whole answer matches it.
    regex: Option<String>,
    /// In llguidance's dialect of Lark.
    grammar: Option<String>,
    /// The answer is one of these.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    choice: Option<Vec<String>>,
    /// Whether the answer is any JSON object.
    json_object: Option<bool>,
}

/// The tools that a chat may call.
#[derive(JsonSchema)]
pub(super) struct Tools {
    #[schemars(length(max = 128))]
    tools: Option<Vec<Tool>>,
    tool_choice: Option<ToolChoice>,
    /// Whether an answer may have several calls. True unless told otherwise.
    parallel_tool_calls: Option<bool>,
}

#[derive(JsonSchema)]
struct Tool {
    #[schemars(rename = "type", extend("const" = "function"))]
    kind: String,
    function: Function,
}

/// A function that the caller has. It is given to the model's chat template as it is.
#[derive(JsonSchema)]
struct Function {
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))]
    name: String,
    /// The JSON schema of its arguments.
    parameters: Option<Map<String, Value>>,
}

/// Whether an answer calls tools, and which.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ToolChoice {
    Word(Choice),
    Named {
        #[schemars(rename = "type", extend("const" = "function"))]
        kind: String,
        function: Name,
    },
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Choice {
    None,
    Auto,
    Required,
}

#[derive(JsonSchema)]
struct Name {
    name: String,
}

/// A call that the assistant made.
#[derive(JsonSchema)]
pub(super) struct Call {
    id: String,
    function: CalledFunction,
}

#[derive(JsonSchema)]
struct CalledFunction {
    name: String,
    /// As a rule JSON.
    arguments: String,
}
