//! `/v1/models`, and what requests may ask of the model that is served.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chandler_crds::names::api;
use schemars::JsonSchema;
use serde::Serialize;

use super::fields::Fields;
use super::{ApiError, App};
use crate::lifecycle::Closed;
use crate::load::Task;
use crate::tasks::{ClassificationTask, EmbeddingTask, Served, TextTask};

/// The models that are served.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ModelList")]
pub(super) struct List {
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The one.
    data: [Card; 1],
}

/// What a model is: OpenAI's fields, and what clients may want to know besides.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Model")]
pub(super) struct Card {
    /// The name that requests call it by.
    id: String,
    #[schemars(extend("const" = "model"))]
    object: &'static str,
    /// Unix seconds of the server's start.
    created: u64,
    owned_by: &'static str,
    /// What it is served for: `chat`, `completion`, `embedding` or `classification`.
    task: &'static str,
    /// Paths of what it may be asked, by POST, with a body that names it.
    endpoints: &'static [&'static str],
    /// Longest sequence in tokens: prompt and answer together, or a text that is read.
    max_model_len: usize,
    /// Length of its vectors, where it makes such.
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    /// Its labels in the order of its answers' probabilities, where it tells such.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    fingerprints: Fingerprints,
}

/// What decides how a request becomes tokens, each by the first 16 hexadecimal digits of a SHA-256. Replicas of
/// one model that differ in one of them read the same prompt differently.
#[derive(Debug, Serialize, JsonSchema)]
struct Fingerprints {
    /// Of the tokenizer's definition as the server has it in memory, whichever file it comes from.
    tokenizer: String,
    /// Of the chat template's source, where conversations are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template: Option<String>,
}

/// All models: the one.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<List>, ApiError> {
    Ok(Json(List {
        object: "list",
        data: [card(&app)?],
    }))
}

/// One model by name.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Card>, ApiError> {
    check_name(&app, &id)?;
    card(&app).map(Json)
}

fn card(app: &App) -> Result<Card, ApiError> {
    let served = served(app)?;
    let task = served.task();
    let (mut dimensions, mut labels, mut chat_template) = (None, None, None);
    let tokenizer = match served {
        Served::Text(text) => {
            chat_template = text.template_fingerprint();
            text.tokenizer_fingerprint()
        }
        Served::Embedding(task) => {
            dimensions = Some(task.dimensions());
            task.tokenizer_fingerprint()
        }
        Served::Classification(task) => {
            labels = Some(task.labels().to_vec());
            task.encoder().tokenizer_fingerprint()
        }
    };
    Ok(Card {
        id: app.name.clone(),
        object: "model",
        created: app.created,
        owned_by: "chandler",
        task: task.as_str(),
        endpoints: endpoints(task),
        max_model_len: served.max_model_len(),
        dimensions,
        labels,
        fingerprints: Fingerprints {
            tokenizer: tokenizer.to_owned(),
            chat_template: chat_template.map(str::to_owned),
        },
    })
}

/// What a model that is served for `task` may be asked.
fn endpoints(task: Task) -> &'static [&'static str] {
    match task {
        Task::Embedding => &[api::EMBEDDINGS],
        Task::Classification => &[api::CLASSIFY],
        Task::Completion => &[api::COMPLETIONS],
        Task::Chat | Task::Auto => &[api::CHAT, api::COMPLETIONS],
    }
}

/// Takes `model` and checks that it is the one served.
pub(super) fn check_model(app: &App, fields: &mut Fields) -> Result<(), ApiError> {
    match fields.string("model")? {
        Some(name) => check_name(app, &name),
        None => {
            let message = format!("`model` is missing; write \"model\": \"{}\"", app.name);
            Err(ApiError::invalid("model", message))
        }
    }
}

pub(super) fn check_name(app: &App, name: &str) -> Result<(), ApiError> {
    if name == app.name {
        return Ok(());
    }
    let message = format!(
        "model `{name}` is not served here; this server has `{}`",
        app.name
    );
    Err(ApiError::missing_model(message))
}

pub(super) fn served(app: &App) -> Result<&Served, ApiError> {
    let loading = || Closed::Loading(app.lifecycle.progress().phase);
    app.served.get().ok_or_else(|| loading().into())
}

/// The model, where it writes text.
pub(super) fn text_task<'a>(app: &'a App, path: &str) -> Result<&'a TextTask, ApiError> {
    match served(app)? {
        Served::Text(task) => Ok(task),
        served => Err(wrong_endpoint(app, served.task(), path)),
    }
}

/// The model, where it turns texts into vectors.
pub(super) fn embedding_task<'a>(app: &'a App, path: &str) -> Result<&'a EmbeddingTask, ApiError> {
    match served(app)? {
        Served::Embedding(task) => Ok(task),
        served => Err(wrong_endpoint(app, served.task(), path)),
    }
}

/// The model, where it tells labels of texts.
pub(super) fn classification_task<'a>(
    app: &'a App,
    path: &str,
) -> Result<&'a ClassificationTask, ApiError> {
    match served(app)? {
        Served::Classification(task) => Ok(task),
        served => Err(wrong_endpoint(app, served.task(), path)),
    }
}

/// The error of a request to a `path` that is not for models of this `task`.
pub(super) fn wrong_endpoint(app: &App, task: Task, path: &str) -> ApiError {
    let instead = endpoints(task).join(" or ");
    let message = format!(
        "model `{}` is served for task `{task}` and does not answer {path}; send the request to {instead}",
        app.name
    );
    ApiError::new(StatusCode::BAD_REQUEST, message).with_code("wrong_endpoint")
}
