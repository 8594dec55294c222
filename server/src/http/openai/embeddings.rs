//! `/v1/embeddings`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;

use super::{inputs, off_thread};
use crate::engine::EngineError;
use crate::http::fields::{Fields, wrong};
use crate::http::limits::read_fields;
use crate::http::models::{check_model, embedding_task};
use crate::http::room::Turn;
use crate::http::{ApiError, App};
use crate::lifecycle::Ticket;
use crate::tasks::{EmbeddingTask, Input};

/// Most inputs of a request.
pub(in crate::http) const MAX_INPUTS: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Float,
    Base64,
}

/// Typed where the rest of the API is written as loose JSON: there is much of it, and a `f32`
/// takes half the digits of the number that loose JSON would make of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmbeddingAnswer", description = "The vectors of texts.")]
pub(in crate::http) struct Answer {
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    data: Vec<Item>,
    model: String,
    usage: Read,
}

/// What a request took.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReadUsage")]
pub(super) struct Read {
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

impl Read {
    /// Of a request whose texts have so many tokens.
    pub(super) fn of(tokens: usize) -> Self {
        Self {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }
    }
}

/// The vector of one text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmbeddingItem")]
struct Item {
    #[schemars(extend("const" = "embedding"))]
    object: &'static str,
    index: usize,
    embedding: Embedding,
}

/// A vector.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Embedding {
    Float(Vec<f32>),
    /// Little-endian `f32`.
    Base64(String),
}

pub(in crate::http) async fn embeddings(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    request: Request,
) -> Result<Json<Answer>, ApiError> {
    let path = request.uri().path().to_owned();
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let task = embedding_task(&app, &path)?;
    let inputs = inputs::take(&mut fields, "input", MAX_INPUTS)?;
    let encoding = encoding(&mut fields)?;
    check_dimensions(&mut fields, task.dimensions())?;
    fields.finish(&["user"])?;
    let (vectors, tokens) = vectors(task, inputs, turn, &ticket).await?;
    let items = vectors.into_iter().enumerate();
    Ok(Json(Answer {
        object: "list",
        data: items
            .map(|(index, vector)| item(index, vector, encoding))
            .collect(),
        model: app.name.clone(),
        usage: Read::of(tokens),
    }))
}

/// The vectors of `inputs`, one each, and how many tokens were read for them.
pub(in crate::http) async fn vectors(
    task: &EmbeddingTask,
    inputs: Vec<Input>,
    turn: Turn,
    ticket: &Ticket,
) -> Result<(Vec<Vec<f32>>, usize), ApiError> {
    task.engine().check_room()?;
    let ids = {
        let task = task.clone();
        off_thread(turn, move || task.tokenize(&inputs)).await?
    };
    let tokens = ids.iter().map(Vec::len).sum();
    let answer = task.submit(ids, ticket.deadline())?;
    let vectors = tokio::select! {
        answer = answer => answer.unwrap_or(Err(EngineError::Gone))?,
        ending = ticket.ended() => return Err(ending.into()),
    };
    Ok((vectors, tokens))
}

fn encoding(fields: &mut Fields) -> Result<Encoding, ApiError> {
    match fields.take("encoding_format") {
        None => Ok(Encoding::Float),
        Some(value) if value == "float" => Ok(Encoding::Float),
        Some(value) if value == "base64" => Ok(Encoding::Base64),
        Some(other) => Err(wrong("encoding_format", "\"float\" or \"base64\"", &other)),
    }
}

fn check_dimensions(fields: &mut Fields, own: usize) -> Result<(), ApiError> {
    let Some(value) = fields.take("dimensions") else {
        return Ok(());
    };
    if value.as_u64() == Some(own as u64) {
        return Ok(());
    }
    let message = format!(
        "this model gives vectors of {own} dimensions and no others; write {own} or leave `dimensions` out"
    );
    Err(ApiError::invalid("dimensions", message).with_code("unsupported_parameter"))
}

fn item(index: usize, vector: Vec<f32>, encoding: Encoding) -> Item {
    let embedding = match encoding {
        Encoding::Float => Embedding::Float(vector),
        Encoding::Base64 => {
            let bytes = vector.iter().flat_map(|value| value.to_le_bytes());
            Embedding::Base64(STANDARD.encode(bytes.collect::<Vec<u8>>()))
        }
    };
    Item {
        object: "embedding",
        index,
        embedding,
    }
}
