use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Json, Router};
use bytes::Bytes;
use chandler_core::traffic::ModelRoute;
use chandler_crds::names::{api, inference, paths};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use serde::Serialize;
use tower::ServiceExt;

use crate::accounts;
use crate::alarm::Alarm;
use crate::call::TensorPath;
use crate::errors::GatewayError;
use crate::gateway::Gateway;
use crate::observe::AccessRecord;
use crate::proxy;

/// The API's paths that name a model in their JSON body.
const MODEL_PATHS: [&str; 6] = [
    api::CHAT,
    api::COMPLETIONS,
    api::EMBEDDINGS,
    api::CLASSIFY,
    api::TOKENIZE,
    api::DETOKENIZE,
];
/// Those that name it themselves.
const TENSOR_PATHS: [&str; 2] = [inference::INFER, inference::VERSION_INFER];

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn router(gateway: Gateway) -> Router {
    let mut router = Router::new();
    for path in MODEL_PATHS.into_iter().chain(TENSOR_PATHS) {
        router = router.route(path, post(to_replica).fallback(only_post));
    }
    for (path, route) in [
        (api::MODELS, get(list_models)),
        (api::ONE_MODEL, get(one_model)),
    ] {
        router = router.route(path, route.fallback(only_get));
    }
    router
        .merge(operational())
        .fallback(no_such_path)
        .with_state(gateway)
}

/// Health and metrics alone, for a port that callers do not reach.
pub(crate) fn admin(gateway: Gateway) -> Router {
    operational().fallback(no_such_path).with_state(gateway)
}

fn operational() -> Router<Gateway> {
    let mut router = Router::new();
    for (path, route) in [
        (paths::LIVE, get(live)),
        (paths::READY, get(ready)),
        (paths::METRICS, get(metrics)),
        (paths::TALLIES, get(tallies)),
    ] {
        router = router.route(path, route.fallback(only_get));
    }
    router
}

/// Answers any request. Those for a model, nearly all, go by no router: that would cost more than
/// all else that the gateway does to them.
pub(crate) async fn answer<B>(
    gateway: &Gateway,
    router: &Router,
    mut request: Request<B>,
    access: AccessRecord,
    alarm: &mut Alarm,
) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let path = request.uri().path();
    let to_model = MODEL_PATHS.contains(&path) || TensorPath::of(path).is_some();
    if to_model && request.method() == Method::POST {
        return proxy::proxy(gateway, request, access, alarm).await;
    }
    request.extensions_mut().insert(access);
    let Ok(response) = router.clone().oneshot(request.map(Body::new)).await;
    response
}

async fn to_replica(State(gateway): State<Gateway>, request: Request<Body>) -> Response {
    let access = AccessRecord::of(request.extensions());
    let inner = gateway.inner();
    let mut ending = inner.ending.ear();
    let mut alarm = Alarm::after(inner.config.request_timeout);
    let mut answer = pin!(proxy::proxy(&gateway, request, access, &mut alarm));
    poll_fn(|cx| {
        // The proxy looks for itself.
        let _ = ending.poll(cx);
        answer.as_mut().poll(cx)
    })
    .await
}

async fn only_post(method: Method, uri: Uri) -> GatewayError {
    wrong_method(&method, &uri, "POST")
}

async fn only_get(method: Method, uri: Uri) -> GatewayError {
    wrong_method(&method, &uri, "GET")
}

fn wrong_method(method: &Method, uri: &Uri, allowed: &'static str) -> GatewayError {
    GatewayError::MethodNotAllowed {
        method: method.to_string(),
        path: uri.path().to_owned(),
        allowed,
    }
}

async fn no_such_path(uri: Uri) -> GatewayError {
    GatewayError::NoSuchPath {
        path: uri.path().to_owned(),
    }
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

impl<'a> Model<'a> {
    fn new(name: &'a str, route: &ModelRoute) -> Self {
        Self {
            id: name,
            object: "model",
            created: route.created,
            owned_by: "chandler",
        }
    }
}

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

async fn list_models(
    State(gateway): State<Gateway>,
    mut headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let caller = gateway.inner().accounts.identify(&mut headers)?;
    let snapshot = gateway.inner().routes.load();
    let models = accounts::listed(caller.as_deref(), &snapshot).into_iter();
    let list = ModelList {
        object: "list",
        data: models
            .map(|(name, route)| Model::new(name, route))
            .collect(),
    };
    Ok(Json(list).into_response())
}

async fn one_model(
    State(gateway): State<Gateway>,
    uri: Uri,
    mut headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, GatewayError> {
    let caller = gateway.inner().accounts.identify(&mut headers)?;
    let Ok(Path(name)) = name else {
        return Err(no_such_path(uri).await);
    };
    let snapshot = gateway.inner().routes.load();
    let caller = caller.as_deref();
    let allowed = caller.is_none_or(|holder| holder.allows(&name));
    match snapshot.model(&name).filter(|_| allowed) {
        Some(model) => Ok(Json(Model::new(&name, &model.route)).into_response()),
        None => Err(accounts::unknown_model(&name, caller, &snapshot)),
    }
}

async fn live() -> &'static str {
    "ok"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reason: &'static str,
    /// `open` to everyone, or `keys` where one is needed.
    access: &'static str,
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    let inner = gateway.inner();
    let (ready, reason) = if inner.leaving.load(Ordering::Relaxed) {
        (false, "Draining")
    } else if inner.routes.load().version == 0 {
        (false, "NoRouteTable")
    } else if !inner.accounts.are_known() {
        (false, "NoKeys")
    } else {
        (true, "Serving")
    };
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let access = match inner.accounts.are_open() {
        true => "open",
        false => "keys",
    };
    let readiness = Readiness {
        ready,
        reason,
        access,
    };
    (status, Json(readiness)).into_response()
}

async fn tallies(State(gateway): State<Gateway>) -> Response {
    Json(gateway.tallies()).into_response()
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    match gateway.inner().render() {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
