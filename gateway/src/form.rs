//! Errors in the form that the callers of a path expect.

use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::call::TensorPath;
use crate::errors::GatewayError;

/// The form of an error's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// OpenAI's.
    OpenAi,
    /// The Open Inference Protocol's: `{"error": "..."}`.
    Tensors,
}

impl Form {
    /// For the callers of a path.
    pub(crate) fn of(path: &str) -> Self {
        match TensorPath::of(path) {
            Some(_) => Self::Tensors,
            None => Self::OpenAi,
        }
    }

    /// The answer that tells an error.
    pub(crate) fn tell(self, error: GatewayError) -> Response {
        let body = match self {
            Self::OpenAi => return error.into_response(),
            Self::Tensors => json!({"error": error.to_string()}).to_string(),
        };
        let mut response = error.into_response();
        *response.body_mut() = body.into();
        response
    }
}
