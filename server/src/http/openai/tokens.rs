//! `/tokenize` and `/detokenize`, in vLLM's form.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{inputs, messages, off_thread, tools};
use crate::http::fields::{Fields, Unsupported, wrong};
use crate::http::limits::read_fields;
use crate::http::models::{check_model, served};
use crate::http::{ApiError, App};
use crate::load::ChatMessage;
use crate::tasks::{Codec, Served, TextTask};

/// The tokens of a text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TokenizeAnswer")]
pub(in crate::http) struct Tokens {
    /// How many there are.
    count: usize,
    /// Longest sequence that the model takes.
    max_model_len: usize,
    tokens: Vec<u32>,
    /// How the vocabulary writes each, where that is asked for.
    token_strs: Option<Vec<String>>,
}

/// The text of tokens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DetokenizeAnswer")]
pub(in crate::http) struct Text {
    /// Special tokens stand in it as their names.
    prompt: String,
}

/// What a conversation alone has.
const OF_CHATS: &[Unsupported] = &[
    beside_prompt("messages"),
    beside_prompt("tools"),
    beside_prompt("tool_choice"),
    beside_prompt("parallel_tool_calls"),
];

const fn beside_prompt(name: &'static str) -> Unsupported {
    Unsupported {
        name,
        is_harmless: |_| false,
        advice: "write `prompt`, or `messages` and what belongs to them, not both",
    }
}

const UNSUPPORTED: &[Unsupported] = &[Unsupported {
    name: "continue_final_message",
    is_harmless: |value| *value == false,
    advice: "leave it out, and send as `prompt` what the template makes of the messages",
}];

pub(in crate::http) async fn tokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Tokens>, ApiError> {
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let served = served(&app)?;
    let named = fields.boolean("return_token_strs")?.unwrap_or(false);
    let asked = Asked::take(&mut fields, served)?;
    fields.finish(&["user"])?;
    let (codec, max_model_len) = (served.codec(), served.max_model_len());
    let told = off_thread(turn, move || {
        let tokens = asked.tokens(&codec)?;
        let written = || tokens.iter().map(|id| codec.written(*id)).collect();
        Ok::<_, ApiError>(Tokens {
            count: tokens.len(),
            max_model_len,
            token_strs: named.then(written),
            tokens,
        })
    });
    told.await.map(Json)
}

pub(in crate::http) async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Text>, ApiError> {
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let ids = match fields.take("tokens") {
        Some(Value::Array(items)) => inputs::ids("tokens", &items)?,
        other => {
            return Err(wrong(
                "tokens",
                "an array of token ids",
                &other.unwrap_or_default(),
            ));
        }
    };
    fields.finish(&["user"])?;
    let codec = served(&app)?.codec();
    let text = off_thread(turn, move || {
        let text = codec.decode(&ids);
        text.map_err(|error| ApiError::invalid("tokens", error.to_string()))
    });
    let prompt = text.await?;
    Ok(Json(Text { prompt }))
}

/// What is to become tokens.
enum Asked {
    Text {
        text: String,
        /// Whether it has its special tokens.
        special: bool,
    },
    Chat {
        task: TextTask,
        messages: Vec<ChatMessage>,
        tools: Option<tools::Tools>,
        /// Whether the model is to answer.
        answered: bool,
    },
}

impl Asked {
    fn take(fields: &mut Fields, served: &Served) -> Result<Self, ApiError> {
        let prompt = fields.string("prompt")?;
        let special = fields.boolean("add_special_tokens")?;
        let answered = fields.boolean("add_generation_prompt")?;
        fields.refuse(UNSUPPORTED)?;
        if let Some(text) = prompt {
            fields.refuse(OF_CHATS)?;
            let special = special.unwrap_or(true);
            return Ok(Self::Text { text, special });
        }
        if !fields.has("messages") {
            let message = "`prompt` is missing; write \"prompt\": \"a text\", or `messages`";
            return Err(ApiError::invalid("prompt", message.to_owned()));
        }
        let (messages, tools) = (messages::take(fields)?, tools::take(fields)?);
        match served {
            Served::Text(task) if task.has_chat() && special != Some(true) => Ok(Self::Chat {
                task: task.clone(),
                messages,
                tools,
                answered: answered.unwrap_or(true),
            }),
            Served::Text(task) if task.has_chat() => {
                let message = "the chat template writes special tokens itself; leave `add_special_tokens` out beside `messages`";
                Err(ApiError::invalid("add_special_tokens", message.to_owned()))
            }
            _ => {
                let message = "this model takes no chat messages; write `prompt`";
                Err(ApiError::invalid("messages", message.to_owned()))
            }
        }
    }

    /// Blocks.
    fn tokens(self, codec: &Codec) -> Result<Vec<u32>, ApiError> {
        Ok(match self {
            Self::Text { text, special } => codec.encode(&text, special)?,
            Self::Chat {
                task,
                messages,
                tools,
                answered,
            } => {
                tools::calling(&task, &messages, tools.as_ref())?;
                let listed = tools.map(|tools| tools.listed).unwrap_or_default();
                task.chat_tokens(&messages, &listed, answered)?
            }
        })
    }
}
