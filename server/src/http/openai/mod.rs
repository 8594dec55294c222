//! OpenAI's API: chat, completions, embeddings.

mod calls;
mod chat;
mod completions;
mod embeddings;
mod form;
mod generation;
mod inputs;
mod logprobs;
mod messages;
mod params;
mod sampling;
mod shape;
mod standing;
mod tools;

use axum::http::StatusCode;
use tokio::task::spawn_blocking;

pub(super) use chat::chat;
pub(super) use completions::completions;
pub(super) use embeddings::{Answer as EmbeddingAnswer, MAX_INPUTS, embeddings, vectors};
pub(super) use params::MAX_STOPS;

use super::ApiError;

/// Does work that takes a processor's time, such as tokenising, off the threads that answer.
async fn off_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => {
            tracing::error!(%error, "preparing a request failed");
            let message = "the request hit a bug while it was prepared";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}
