//! `/v1/models`, and what requests may ask of the model that is served.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chandler_crds::names::api;
use serde_json::{Value, json};

use super::fields::Fields;
use super::{ApiError, App};
use crate::lifecycle::Closed;
use crate::load::Task;
use crate::tasks::{EmbeddingTask, Served, TextTask};

/// All models: the one.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"object": "list", "data": [card(&app)?]})))
}

/// One model by name.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    check_name(&app, &id)?;
    card(&app).map(Json)
}

fn card(app: &App) -> Result<Value, ApiError> {
    let mut card = json!({
        "id": app.name,
        "object": "model",
        "created": app.created,
        "owned_by": "chandler",
        "task": served(app)?.task().as_str(),
    });
    if let Served::Text(task) = served(app)? {
        card["max_model_len"] = json!(task.context());
    }
    Ok(card)
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
