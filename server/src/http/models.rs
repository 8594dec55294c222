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
use crate::tasks::{EmbeddingTask, Served, TextTask};

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
    /// What it is served for: `chat`, `completion` or `embedding`.
    task: &'static str,
    /// Longest sequence in tokens, prompt and answer together, where it writes text.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<usize>,
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
    Ok(Card {
        id: app.name.clone(),
        object: "model",
        created: app.created,
        owned_by: "chandler",
        task: served.task().as_str(),
        max_model_len: match served {
            Served::Text(task) => Some(task.context()),
            Served::Embedding(_) => None,
        },
    })
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

fn check_name(app: &App, name: &str) -> Result<(), ApiError> {
    if name == app.name {
        return Ok(());
    }
    let message = format!(
        "model `{name}` is not served here; this server has `{}`",
        app.name
    );
    Err(ApiError::missing_model(message))
}

fn served(app: &App) -> Result<&Served, ApiError> {
    let loading = || Closed::Loading(app.lifecycle.progress().phase);
    app.served.get().ok_or_else(|| loading().into())
}

/// The model, where it writes text.
pub(super) fn text_task<'a>(app: &'a App, path: &str) -> Result<&'a TextTask, ApiError> {
    match served(app)? {
        Served::Text(task) => Ok(task),
        Served::Embedding(_) => Err(wrong_endpoint(app, Task::Embedding, path)),
    }
}

/// The model, where it turns texts into vectors.
pub(super) fn embedding_task<'a>(app: &'a App, path: &str) -> Result<&'a EmbeddingTask, ApiError> {
    match served(app)? {
        Served::Embedding(task) => Ok(task),
        served @ Served::Text(_) => Err(wrong_endpoint(app, served.task(), path)),
    }
}

fn wrong_endpoint(app: &App, task: Task, path: &str) -> ApiError {
    let instead = match task {
        Task::Embedding => api::EMBEDDINGS.to_owned(),
        Task::Completion => api::COMPLETIONS.to_owned(),
        Task::Chat | Task::Auto => format!("{} or {}", api::CHAT, api::COMPLETIONS),
    };
    let message = format!(
        "model `{}` is served for task `{task}` and does not answer {path}; send the request to {instead}",
        app.name
    );
    ApiError::new(StatusCode::BAD_REQUEST, message).with_code("wrong_endpoint")
}
