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

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

pub(super) use chat::chat;
pub(super) use completions::completions;
pub(super) use embeddings::{Answer as EmbeddingAnswer, MAX_INPUTS, embeddings, vectors};
pub(super) use params::MAX_STOPS;

use super::ApiError;
use super::room::Turn;

/// As many as there are processors: more at a time would end no sooner, and each holds what it makes of its
/// request.
static PROCESSORS: LazyLock<Semaphore> = LazyLock::new(|| {
    let count = available_parallelism().map_or(1, NonZeroUsize::get);
    Semaphore::new(count)
});

/// Does work that takes a processor's time, such as tokenising, off the threads that answer. It goes on where nobody
/// waits for it any more, and holds its request's `turn` until it is done.
async fn off_thread<T, E>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    // Nobody closes it.
    let permit = PROCESSORS.acquire().await.ok();
    let work = move || {
        let _held = (turn, permit);
        work()
    };
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => {
            tracing::error!(%error, "preparing a request failed");
            let message = "the request hit a bug while it was prepared";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}
