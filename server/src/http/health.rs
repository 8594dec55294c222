//! Health, load progress and metrics. Nothing here waits for the engine.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ApiError, App};
use crate::engine::{EngineStats, Liveness};
use crate::lifecycle::{Closed, Phase, Progress};

/// Whether the engine's heart beats.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alive {
    alive: bool,
    /// A CamelCase word, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Whether new requests are welcome.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ready {
    ready: bool,
    /// A CamelCase word, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// 200 while the engine's thread beats, busy or not, and while there is none yet.
pub(super) async fn live(State(app): State<Arc<App>>) -> (StatusCode, Json<Alive>) {
    let reason = why_not_alive(&app);
    let alive = reason.is_none();
    (status(alive), Json(Alive { alive, reason }))
}

pub(super) fn why_not_alive(app: &App) -> Option<&'static str> {
    match liveness(app) {
        Liveness::Alive => None,
        Liveness::Dead => Some("EngineDead"),
        Liveness::Stalled(_) => Some("EngineStalled"),
    }
}

/// 200 while new requests are welcome.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Ready>) {
    let reason = why_not_ready(&app);
    let ready = reason.is_none();
    (status(ready), Json(Ready { ready, reason }))
}

pub(super) fn why_not_ready(app: &App) -> Option<&'static str> {
    match app.lifecycle.check() {
        Err(Closed::Draining) => Some("Draining"),
        Err(Closed::Loading(Phase::Failed)) => Some("LoadFailed"),
        Err(Closed::Loading(_)) => Some("Loading"),
        Ok(()) if liveness(app) == Liveness::Dead => Some("EngineDead"),
        Ok(()) => None,
    }
}

pub(super) fn status(well: bool) -> StatusCode {
    match well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// How far the load is; 200 once it is over.
pub(super) async fn startup(State(app): State<Arc<App>>) -> (StatusCode, Json<Progress>) {
    let progress = app.lifecycle.progress();
    let status = match progress.phase {
        Phase::Ready => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(progress))
}

/// Prometheus' text format.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let load = app.served.get().map(|served| served.engine().stats());
    let load: EngineStats = load.unwrap_or_default();
    let (progress, rest) = (app.lifecycle.progress(), app.lifecycle.rest());
    let text = app.metrics.render(load, &progress, rest);
    let text =
        text.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, text).into_response())
}

fn liveness(app: &App) -> Liveness {
    let engine = app.served.get().map(|served| served.engine().liveness());
    engine.unwrap_or(Liveness::Alive)
}
