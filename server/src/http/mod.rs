//! The HTTP side: OpenAI's API, health and metrics on one port.

mod errors;
mod fields;
mod gate;
mod health;
mod inference;
mod limits;
mod models;
mod openai;
mod openapi;
mod room;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use chandler_crds::names::api;

pub use errors::ApiError;
pub use limits::MAX_BODY;
pub(crate) use room::LEAST as LEAST_ROOM;
pub use room::Room;
use routes::{Door, ROUTES};

use crate::lifecycle::{Lifecycle, Phase};
use crate::memory::MemoryWatch;
use crate::metrics::Metrics;
use crate::tasks::Served;

/// What the handlers share.
#[derive(Debug)]
pub struct App {
    /// The name that requests call the model by.
    pub name: String,
    /// The revision that answers tell, if any.
    pub revision: Option<HeaderValue>,
    /// Where the process stands.
    pub lifecycle: Arc<Lifecycle>,
    /// Everything measured.
    pub metrics: Arc<Metrics>,
    /// Whether there is memory for requests.
    pub memory: Arc<MemoryWatch>,
    /// Room for requests that are read.
    pub room: Room,
    /// The model, once it is loaded.
    pub served: OnceLock<Served>,
    /// Unix seconds of the start.
    pub created: u64,
}

impl App {
    /// An application without a model yet.
    #[must_use]
    pub fn new(name: String, revision: Option<HeaderValue>, metrics: Arc<Metrics>) -> Self {
        Self {
            name,
            revision,
            lifecycle: Arc::default(),
            metrics,
            memory: Arc::default(),
            room: Room::default(),
            served: OnceLock::new(),
            created: unix_seconds(),
        }
    }

    /// Serves `model` from now on.
    pub fn open(&self, model: Served) {
        // The first model stays; nothing calls this twice.
        if self.served.set(model).is_ok() {
            self.lifecycle.enter(Phase::Ready);
        }
    }
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let behind = |door: Door| {
        let routes = ROUTES.iter().filter(|route| route.door == door);
        routes.fold(Router::new(), |router, route| {
            router.route(route.path, (route.handler)())
        })
    };
    let gate = from_fn_with_state(Arc::clone(&app), gate::gate);
    behind(Door::Open)
        .merge(behind(Door::Gate).layer(gate))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(inference::in_own_form))
        .with_state(app)
}

async fn unknown_path(uri: Uri) -> ApiError {
    let message = format!(
        "there is nothing at `{}`; {} tells what there is",
        uri.path(),
        api::OPENAPI
    );
    ApiError::new(StatusCode::NOT_FOUND, message).with_code("unknown_path")
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!(
        "`{}` does not take {}; the API's questions are POST, everything else is GET",
        request.uri().path(),
        request.method()
    );
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).with_code("method_not_allowed")
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
