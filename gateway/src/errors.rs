use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chandler_crds::names::{api, headers};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::accounts::AccountError;
use crate::observe::Refusal;

/// How many known models an unknown one is answered with.
const MODELS_TOLD: usize = 20;
/// When to come back after a replica was lost and others are busy with requests sent again.
const RETRY_LOST: Duration = Duration::from_secs(1);
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
    /// The caller's body came too slowly.
    #[error(
        "The request body came too slowly: nothing for {} s, or too little. Send it in one piece.",
        .pause.as_secs()
    )]
    BodyTooSlow {
        /// Longest pause.
        pause: Duration,
    },
    /// The head is over the limit.
    #[error("The request's headers are larger than {limit} bytes. Send fewer or shorter ones.")]
    HeadTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// A header of the gateway's own can't be meant as it is.
    #[error("The header {name} must be {wanted}.")]
    BadHeader {
        /// The header.
        name: &'static str,
        /// What to send instead.
        wanted: &'static str,
    },
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
    /// The request's first line, its headers or its length.
    #[error(
        "The request is no HTTP/1.1 that can be read in one way alone: {0}. Send each field on a line of its own, and one Content-Length or `Transfer-Encoding: chunked`."
    )]
    Malformed(String),
    /// No such model in the table.
    #[error("The model \"{name}\" does not exist. {} GET {} lists them.", known_models(.known), api::MODELS)]
    UnknownModel {
        /// As the caller wrote it.
        name: String,
        /// Every served name.
        known: Vec<String>,
    },
    /// The revision asked for takes no requests.
    #[error(
        "The revision \"{revision}\" of \"{model}\" takes no requests now. Leave out the header {} to be answered by any.",
        headers::REVISION
    )]
    RevisionNotAvailable {
        /// Served name.
        model: String,
        /// As the caller wrote it.
        revision: String,
    },
    /// No replica was ready within the wait.
    #[error("No replica of \"{model}\" became ready within {} s{}. Send the request again later.",
        .waited.as_secs(), last_failure(.last))]
    NoReadyReplica {
        /// Served name.
        model: String,
        /// How long was waited.
        waited: Duration,
        /// What the replica asked last said, if one was asked.
        last: Option<String>,
        /// When a replica is likely to be ready.
        retry_after: Duration,
    },
    /// The model is waking, and will not be awake before the caller's time is up.
    #[error(
        "\"{model}\" is waking and takes about {} s more, longer than this request may wait. Send it again then.",
        .retry_after.as_secs()
    )]
    Waking {
        /// Served name.
        model: String,
        /// When a replica is likely to be ready.
        retry_after: Duration,
    },
    /// The waiting room is full.
    #[error(
        "No replica of \"{model}\" is ready and too many requests wait already. Send the request again later."
    )]
    TooManyWaiting {
        /// Served name.
        model: String,
        /// When a replica is likely to be ready.
        retry_after: Duration,
    },
    /// The caller's time, or the model's, is up.
    #[error(
        "\"{model}\" did not answer within {} s. Send the header {} with more seconds, or ask for fewer tokens.",
        .limit.as_secs_f64(), headers::REQUEST_TIMEOUT
    )]
    TimedOut {
        /// Served name.
        model: String,
        /// How long the answer might take.
        limit: Duration,
    },
    /// A replica was lost over this request, and so were many others lately.
    #[error(
        "A replica of \"{model}\" was lost while it worked on this request ({last}), and too many requests are being sent again already. Send it again later."
    )]
    RetriesSpent {
        /// Served name.
        model: String,
        /// What befell the replica.
        last: String,
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
    /// A stream was asked for, and the replica sends something that is none.
    #[error("The replica's answer is no stream. Send the request without \"stream\": true.")]
    NoEvents,
    /// The drain deadline passed.
    #[error(
        "The gateway is shutting down before this answer was complete. Send the request again."
    )]
    ShuttingDown,
    /// The caller's key, or what it allows.
    #[error(transparent)]
    Account(#[from] AccountError),
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
        more => format!("Served here: {told} and {more} more."),
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
            Self::BodyTooSlow { .. } => "BodyTooSlow",
            Self::BadHeader { .. } => "BadHeader",
            Self::HeadTooLarge { .. } => "HeadTooLarge",
            Self::Malformed(_) => "MalformedRequest",
            Self::InvalidJson(_) => "InvalidJson",
            Self::NotAnObject => "NotAnObject",
            Self::ModelMissing => "ModelMissing",
            Self::ModelNotString(_) => "ModelNotString",
            Self::UnknownModel { .. } => "UnknownModel",
            Self::RevisionNotAvailable { .. } => "RevisionNotAvailable",
            Self::NoReadyReplica { .. } => "NoReadyReplica",
            Self::Waking { .. } => "Waking",
            Self::TimedOut { .. } => "TimedOut",
            Self::RetriesSpent { .. } => "RetriesSpent",
            Self::TooManyWaiting { .. } => "TooManyWaiting",
            Self::ReplicasLost { .. } => "ReplicasLost",
            Self::StreamCut => "StreamCut",
            Self::NoEvents => "NoEvents",
            Self::ShuttingDown => "ShuttingDown",
            Self::Account(error) => error.reason(),
            Self::NoSuchPath { .. } => "NoSuchPath",
            Self::MethodNotAllowed { .. } => "MethodNotAllowed",
        }
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyIncomplete(_)
            | Self::Malformed(_)
            | Self::BadHeader { .. }
            | Self::RevisionNotAvailable { .. }
            | Self::InvalidJson(_)
            | Self::NotAnObject
            | Self::ModelMissing
            | Self::ModelNotString(_) => StatusCode::BAD_REQUEST,
            Self::UnknownModel { .. } | Self::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            Self::Account(error) => error.status(),
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ReplicasLost { .. } | Self::StreamCut | Self::NoEvents => StatusCode::BAD_GATEWAY,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::NoReadyReplica { .. }
            | Self::Waking { .. }
            | Self::TooManyWaiting { .. }
            | Self::RetriesSpent { .. }
            | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::BadHeader { .. } => "invalid_header",
            Self::RevisionNotAvailable { .. } => "revision_not_available",
            Self::TimedOut { .. } => "timeout",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::HeadTooLarge { .. } => "request_headers_too_large",
            Self::Malformed(_) => "malformed_request",
            Self::InvalidJson(_) | Self::NotAnObject => "invalid_json",
            Self::ModelMissing => "missing_required_parameter",
            Self::ModelNotString(_) => "invalid_type",
            Self::UnknownModel { .. } => "model_not_found",
            Self::NoReadyReplica { .. } | Self::Waking { .. } | Self::TooManyWaiting { .. } => {
                "model_not_ready"
            }
            Self::ReplicasLost { .. } | Self::RetriesSpent { .. } | Self::StreamCut => {
                "replica_lost"
            }
            Self::NoEvents => "no_stream",
            Self::ShuttingDown => "shutting_down",
            Self::Account(error) => error.code(),
            Self::NoSuchPath { .. } => "unknown_url",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
        }
    }

    /// OpenAI's `type`.
    fn kind(&self) -> &'static str {
        let of_account = match self {
            Self::Account(error) => error.kind(),
            _ => None,
        };
        of_account.unwrap_or(match self.status().is_server_error() {
            true => "server_error",
            false => "invalid_request_error",
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoReadyReplica { retry_after, .. }
            | Self::Waking { retry_after, .. }
            | Self::TooManyWaiting { retry_after, .. } => Some(*retry_after),
            Self::RetriesSpent { .. } => Some(RETRY_LOST),
            Self::ShuttingDown => Some(RETRY_SHUTDOWN),
            Self::Account(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// The error object of the OpenAI API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiError {
    /// What is wrong and what to send instead.
    pub message: String,
    /// `invalid_request_error`, `server_error`, or of a limit `requests` or `tokens`.
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
            kind: error.kind(),
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
        response.extensions_mut().insert(Refusal(self.reason()));
        if let Some(after) = self.retry_after() {
            // Rounded up: whoever comes too early comes in vain.
            let seconds = HeaderValue::from(after.as_secs_f64().ceil() as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Self::Account(error) = &self {
            error.tell(response.headers_mut());
        }
        if let Self::MethodNotAllowed { allowed, .. } = self {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
