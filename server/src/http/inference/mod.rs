//! The Open Inference Protocol, version 2, over HTTP: health, metadata, and texts in, vectors or labels out
//! (<https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>).

mod infer;
mod outputs;
mod tensors;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response as HttpResponse};
use chandler_crds::names::{inference, programs};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use infer::{Request, Response, infer};
pub(super) use outputs::Outputs;

use super::models::{check_name, served};
use super::{ApiError, App, health};

/// The one version of the one model: a revision is another server.
pub(super) const VERSION: &str = "1";
/// The tensor that texts come in.
const TEXT: &str = "text";
/// Texts, as the protocol calls them.
const BYTES: &str = "BYTES";
const FP32: &str = "FP32";

/// What the server is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceServer")]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    /// None.
    extensions: [&'static str; 0],
}

/// Whether the engine's heart beats.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceLive")]
pub(super) struct Live {
    live: bool,
}

/// Whether new requests are welcome.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceReady")]
pub(super) struct Ready {
    ready: bool,
}

/// Whether a model takes requests.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceModelReady")]
pub(super) struct ModelReady {
    name: String,
    ready: bool,
}

/// A model and its tensors.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceModel")]
pub(super) struct Model {
    name: String,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// What a tensor is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceTensor")]
struct Tensor {
    name: &'static str,
    datatype: &'static str,
    /// Lengths of its dimensions; -1 is any.
    shape: Vec<i64>,
}

/// Why there is no answer, and what to do instead.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceError")]
pub(super) struct Error {
    error: String,
}

/// The parameters in the paths of a model.
type Names = Path<HashMap<String, String>>;

pub(super) async fn server() -> Json<Server> {
    Json(Server {
        name: programs::SERVER,
        version: env!("CARGO_PKG_VERSION"),
        extensions: [],
    })
}

pub(super) async fn live(State(app): State<Arc<App>>) -> (StatusCode, Json<Live>) {
    let live = health::why_not_alive(&app).is_none();
    (health::status(live), Json(Live { live }))
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Ready>) {
    let ready = health::why_not_ready(&app).is_none();
    (health::status(ready), Json(Ready { ready }))
}

pub(super) async fn model_ready(
    State(app): State<Arc<App>>,
    Path(names): Names,
) -> Result<(StatusCode, Json<ModelReady>), ApiError> {
    check(&app, &names)?;
    let ready = health::why_not_ready(&app).is_none();
    let name = app.name.clone();
    Ok((health::status(ready), Json(ModelReady { name, ready })))
}

pub(super) async fn model(
    State(app): State<Arc<App>>,
    Path(names): Names,
) -> Result<Json<Model>, ApiError> {
    check(&app, &names)?;
    let text = || Tensor {
        name: TEXT,
        datatype: BYTES,
        shape: vec![-1],
    };
    let (inputs, outputs) = match Outputs::of(served(&app)?) {
        Some(outputs) => (vec![text()], outputs.described()),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Json(Model {
        name: app.name.clone(),
        versions: [VERSION],
        platform: "candle",
        inputs,
        outputs,
    }))
}

/// Whether a path names the one model, and its one version if any.
fn check(app: &App, names: &HashMap<String, String>) -> Result<(), ApiError> {
    check_name(app, names.get("name").map_or("", String::as_str))?;
    match names.get("version") {
        Some(version) if version != VERSION => {
            let message = format!(
                "model `{}` has no version `{version}`; write {VERSION}, or leave /versions out",
                app.name
            );
            Err(ApiError::missing_model(message))
        }
        _ => Ok(()),
    }
}

/// Tells errors of this protocol's paths in its own form, whoever found them.
pub(super) async fn in_own_form(request: HttpRequest, next: Next) -> HttpResponse {
    let path = request.uri().path();
    let rest = path.strip_prefix(inference::SERVER);
    let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let response = next.run(request).await;
    if !is_ours {
        return response;
    }
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    let error = error.message().to_owned();
    let (mut parts, _) = response.into_parts();
    let (new, body) = Json(Error { error }).into_response().into_parts();
    parts.headers.extend(new.headers);
    HttpResponse::from_parts(parts, body)
}
