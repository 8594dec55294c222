//! Errors in the shape of OpenAI's API, whatever goes wrong.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::{EngineError, Refused};
use crate::lifecycle::{Closed, Ending};
use crate::memory::MemoryLow;
use crate::tasks::{InputError, PromptError};

/// When a client may come back while the model loads: often enough not to miss it by much.
const RETRY_WHILE_LOADING: Duration = Duration::from_secs(2);
/// When a client may come back at the earliest where memory was low.
const RETRY_FOR_MEMORY: Duration = Duration::from_secs(1);
/// When a client may come back after this process; another one answers by then.
const RETRY_ELSEWHERE: Duration = Duration::from_secs(1);

/// What a client is told when it gets no answer. A response that is made of it has it among its extensions, for
/// those who tell errors in another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    close: bool,
}

impl ApiError {
    /// An error with a status and a message that says what to do instead.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
            close: false,
        }
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: a parameter has a value that cannot be taken.
    #[must_use]
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::bad_request(message)
        }
    }

    /// 404: no model of that name.
    #[must_use]
    pub fn missing_model(message: impl Into<String>) -> Self {
        Self {
            param: Some("model".to_owned()),
            ..Self::new(StatusCode::NOT_FOUND, message)
        }
        .with_code("model_not_found")
    }

    /// With a word that machines can match.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// Ends the connection after the answer, because the rest of the request was not read or
    /// because the process is about to end.
    #[must_use]
    pub fn closing(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }

    /// 429: too little memory is left for one more request; in about so long there is more.
    #[must_use]
    pub fn memory_low(low: MemoryLow, retry_after: Duration) -> Self {
        let retry_after = retry_after.max(RETRY_FOR_MEMORY);
        let message = format!("{low}; try again in {} s", retry_after.as_secs());
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
        .with_code("memory_low")
    }

    /// 429: bodies of others take all the room there is.
    #[must_use]
    pub fn no_room() -> Self {
        let seconds = RETRY_FOR_MEMORY.as_secs();
        let message = format!(
            "the requests that are read now take all the memory there is for them; try again in {seconds} s"
        );
        Self {
            retry_after: Some(RETRY_FOR_MEMORY),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
        .with_code("memory_low")
    }

    /// The answer of requests that run when the process ends.
    #[must_use]
    pub fn ending() -> Self {
        Self {
            retry_after: Some(RETRY_ELSEWHERE),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is shutting down and could not finish this answer; send the request again",
            )
        }
        .with_code("server_shutting_down")
        .closing()
    }

    /// The JSON of the body, and of an error inside a stream.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }})
    }

    /// What a person is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Ending> for ApiError {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::ShutDown => Self::ending(),
            Ending::TimeIsUp => EngineError::TimeIsUp.into(),
        }
    }
}

impl From<Closed> for ApiError {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Draining => Self {
                retry_after: Some(RETRY_ELSEWHERE),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the server is shutting down and takes no new requests; send the request again",
                )
            }
            .with_code("server_shutting_down")
            .closing(),
            Closed::Loading(phase) => Self {
                retry_after: Some(RETRY_WHILE_LOADING),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("the model is not ready yet ({}); try again", phase.as_str()),
                )
            }
            .with_code("model_not_ready"),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy { retry_after, .. } => Self {
                retry_after: Some(retry_after),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("{refused}; try again in {} s", retry_after.as_secs()),
                )
            }
            .with_code("queue_full"),
            Refused::Stopped => EngineError::Gone.into(),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let status = match error {
            EngineError::TimeIsUp => StatusCode::GATEWAY_TIMEOUT,
            EngineError::Constraint(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let code = match error {
            EngineError::TimeIsUp => "request_timeout",
            EngineError::Model(_) => "model_failed",
            EngineError::Panicked => "engine_panicked",
            EngineError::Constraint(_) => "constraint_failed",
            EngineError::Gone => "engine_gone",
        };
        Self::new(status, error.to_string()).with_code(code)
    }
}

impl From<PromptError> for ApiError {
    fn from(error: PromptError) -> Self {
        let message = error.to_string();
        match error {
            PromptError::NoChat => Self::bad_request(message).with_code("wrong_endpoint"),
            PromptError::Template(_) => Self::invalid("messages", message),
            PromptError::TooLong { .. } => {
                Self::bad_request(message).with_code("context_length_exceeded")
            }
            PromptError::Tokenizer(_) | PromptError::Empty | PromptError::UnknownToken { .. } => {
                Self::invalid("prompt", message)
            }
        }
    }
}

impl From<InputError> for ApiError {
    fn from(error: InputError) -> Self {
        let invalid = Self::invalid("input", error.to_string());
        match error {
            InputError::TooLong { .. } => invalid.with_code("context_length_exceeded"),
            _ => invalid,
        }
    }
}
