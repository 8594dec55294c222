use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// How many known models an unknown one is answered with.
const MODELS_TOLD: usize = 20;
/// When to come back to a model without a ready replica.
const RETRY_NO_REPLICA: Duration = Duration::from_secs(5);
/// When to come back to a gateway that is going away.
const RETRY_SHUTDOWN: Duration = Duration::from_secs(1);

/// Why the gateway itself answers a request instead of a replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The body is over the limit.
    #[error(
        "The request body is larger than {limit} bytes. Send a shorter prompt or fewer inputs."
    )]
    BodyTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// The caller's body ended early.
    #[error("The request body ended before it was complete: {0}")]
    BodyIncomplete(String),
    /// The body is not JSON.
    #[error("The request body is not valid JSON: {0}.")]
    InvalidJson(String),
    /// The body is JSON, but no object.
    #[error("The request body must be a JSON object, such as {{\"model\": \"NAME\", ...}}.")]
    NotAnObject,
    /// `model` is absent or null.
    #[error(
        "The request names no model. Write \"model\": \"NAME\"; GET /v1/models lists the names."
    )]
    ModelMissing,
    /// `model` is of another type.
    #[error("\"model\" must be a string, and is {0}. GET /v1/models lists the names.")]
    ModelNotString(&'static str),
    /// No such model in the table.
    #[error("The model \"{name}\" does not exist. {}", known_models(.known))]
    UnknownModel {
        /// As the caller wrote it.
        name: String,
        /// Every served name.
        known: Vec<String>,
    },
    /// No replica was ready within the wait.
    #[error("No replica of \"{model}\" became ready within {} s{}. Send the request again later.",
        .waited.as_secs(), last_failure(.last))]
    NoReadyReplica {
        /// Served name.
        model: String,
        /// The whole wait allowed.
        waited: Duration,
        /// What the replica asked last said, if one was asked.
        last: Option<String>,
    },
    /// The waiting room is full.
    #[error(
        "No replica of \"{model}\" is ready and too many requests wait already. Send the request again later."
    )]
    TooManyWaiting {
        /// Served name.
        model: String,
    },
    /// Replica after replica was lost over this request.
    #[error(
        "{losses} replicas of \"{model}\" in turn were lost while they worked on this request; the last: {last}."
    )]
    ReplicasLost {
        /// Served name.
        model: String,
        /// Replicas lost.
        losses: u32,
        /// What befell the last.
        last: String,
    },
    /// A stream's replica was lost after its first event.
    #[error(
        "The replica was lost in the middle of its answer. What was sent is incomplete; send the request again."
    )]
    StreamCut,
    /// The drain deadline passed.
    #[error(
        "The gateway is shutting down before this answer was complete. Send the request again."
    )]
    ShuttingDown,
    /// No such path.
    #[error("There is nothing at {path}. The API is below /v1, such as POST /v1/chat/completions.")]
    NoSuchPath {
        /// As asked.
        path: String,
    },
    /// The path takes another method.
    #[error("{path} takes {allowed}, not {method}.")]
    MethodNotAllowed {
        /// As asked.
        method: String,
        /// As asked.
        path: String,
        /// What to use instead.
        allowed: &'static str,
    },
}

fn known_models(known: &[String]) -> String {
    if known.is_empty() {
        return "No model is served here yet.".into();
    }
    let told = known.iter().take(MODELS_TOLD).map(String::as_str);
    let told = told.collect::<Vec<_>>().join(", ");
    match known.len().saturating_sub(MODELS_TOLD) {
        0 => format!("Served here: {told}."),
        more => format!("Served here: {told} and {more} more (GET /v1/models lists all)."),
    }
}

fn last_failure(last: &Option<String>) -> String {
    last.as_ref()
        .map_or_else(String::new, |last| format!(" (the last asked: {last})"))
}

impl GatewayError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BodyTooLarge { .. } => "BodyTooLarge",
            Self::BodyIncomplete(_) => "BodyIncomplete",
            Self::InvalidJson(_) => "InvalidJson",
            Self::NotAnObject => "NotAnObject",
            Self::ModelMissing => "ModelMissing",
            Self::ModelNotString(_) => "ModelNotString",
            Self::UnknownModel { .. } => "UnknownModel",
            Self::NoReadyReplica { .. } => "NoReadyReplica",
            Self::TooManyWaiting { .. } => "TooManyWaiting",
            Self::ReplicasLost { .. } => "ReplicasLost",
            Self::StreamCut => "StreamCut",
            Self::ShuttingDown => "ShuttingDown",
            Self::NoSuchPath { .. } => "NoSuchPath",
            Self::MethodNotAllowed { .. } => "MethodNotAllowed",
        }
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyIncomplete(_)
            | Self::InvalidJson(_)
            | Self::NotAnObject
            | Self::ModelMissing
            | Self::ModelNotString(_) => StatusCode::BAD_REQUEST,
            Self::UnknownModel { .. } | Self::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ReplicasLost { .. } | Self::StreamCut => StatusCode::BAD_GATEWAY,
            Self::NoReadyReplica { .. } | Self::TooManyWaiting { .. } | Self::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn param(&self) -> Option<&'static str> {
        match self {
            Self::ModelMissing | Self::ModelNotString(_) | Self::UnknownModel { .. } => {
                Some("model")
            }
            _ => None,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge { .. } => "request_too_large",
            Self::BodyIncomplete(_) => "incomplete_body",
            Self::InvalidJson(_) | Self::NotAnObject => "invalid_json",
            Self::ModelMissing => "missing_required_parameter",
            Self::ModelNotString(_) => "invalid_type",
            Self::UnknownModel { .. } => "model_not_found",
            Self::NoReadyReplica { .. } | Self::TooManyWaiting { .. } => "model_not_ready",
            Self::ReplicasLost { .. } | Self::StreamCut => "replica_lost",
            Self::ShuttingDown => "shutting_down",
            Self::NoSuchPath { .. } => "unknown_url",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoReadyReplica { .. } | Self::TooManyWaiting { .. } => Some(RETRY_NO_REPLICA),
            Self::ShuttingDown => Some(RETRY_SHUTDOWN),
            _ => None,
        }
    }
}

/// The error object of the OpenAI API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiError {
    /// What is wrong and what to send instead.
    pub message: String,
    /// `invalid_request_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The parameter at fault.
    pub param: Option<&'static str>,
    /// A stable word for programs.
    pub code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a OpenAiError,
}

impl OpenAiError {
    /// `{"error":{...}}`.
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(&Envelope { error: self })
            .unwrap_or_default()
            .into()
    }
}

impl From<&GatewayError> for OpenAiError {
    fn from(error: &GatewayError) -> Self {
        Self {
            message: error.to_string(),
            kind: if error.status().is_server_error() {
                "server_error"
            } else {
                "invalid_request_error"
            },
            param: error.param(),
            code: Some(error.code()),
        }
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        tracing::debug!(reason = self.reason(), message = %self, "answered with an error");
        let json = HeaderValue::from_static("application/json");
        let body = OpenAiError::from(&self).to_json();
        let mut response = (self.status(), [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(after) = self.retry_after() {
            let seconds = HeaderValue::from(after.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Self::MethodNotAllowed { allowed, .. } = self {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
