//! Health, load progress and metrics. Nothing here waits for the engine.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{ApiError, App};
use crate::engine::{EngineStats, Liveness};
use crate::lifecycle::{Closed, Phase, Progress};

/// 200 while the engine's thread beats, busy or not, and while there is none yet.
pub(super) async fn live(State(app): State<Arc<App>>) -> Response {
    let reason = match liveness(&app) {
        Liveness::Alive => return (StatusCode::OK, Json(json!({"alive": true}))).into_response(),
        Liveness::Dead => "EngineDead",
        Liveness::Stalled(_) => "EngineStalled",
    };
    let body = json!({"alive": false, "reason": reason});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// 200 while new requests are welcome.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = match app.lifecycle.check() {
        Err(Closed::Draining) => "Draining",
        Err(Closed::Loading(Phase::Failed)) => "LoadFailed",
        Err(Closed::Loading(_)) => "Loading",
        Ok(()) if liveness(&app) == Liveness::Dead => "EngineDead",
        Ok(()) => return (StatusCode::OK, Json(json!({"ready": true}))).into_response(),
    };
    let body = json!({"ready": false, "reason": reason});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
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
