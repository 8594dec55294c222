//! OpenAI's API: chat, completions, embeddings; and, in its manner, vLLM's classification and tokens.

mod calls;
mod chat;
mod classify;
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
mod tokens;
mod tools;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use axum::http::StatusCode;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

pub(super) use chat::chat;
pub(super) use classify::{Answer as ClassificationAnswer, classify};
pub(super) use completions::completions;
pub(super) use embeddings::{Answer as EmbeddingAnswer, MAX_INPUTS, embeddings, vectors};
pub(super) use params::MAX_STOPS;
pub(super) use tokens::{Text as DetokenizeAnswer, Tokens as TokenizeAnswer, detokenize, tokenize};

use super::ApiError;
use super::room::{THREADS, Turn};

/// Always the same threads, and few: what is freed the system's allocator keeps for each thread by itself.
static PREPARING: LazyLock<Result<ThreadPool, ThreadPoolBuildError>> = LazyLock::new(|| {
    let named = |index| format!("prepare-{index}");
    let threads = ThreadPoolBuilder::new().num_threads(THREADS);
    threads.thread_name(named).build()
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
    let threads = PREPARING.as_ref().map_err(|error| failed(error))?;
    let (sender, done) = oneshot::channel();
    threads.spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        drop(turn);
        // Nobody may wait for it any more.
        let _ = sender.send(result);
    });
    match done.await {
        Ok(Ok(result)) => result.map_err(Into::into),
        Ok(Err(panic)) => Err(failed(&message_of(&*panic))),
        Err(gone) => Err(failed(&gone)),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "preparing a request failed");
    let message = "the request hit a bug while it was prepared";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// What a panic says.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::room::Room;

    #[tokio::test]
    async fn work_that_panics_is_told_and_gives_its_room_back() {
        let room = Room::default();
        room.narrow(0, 0);
        let turn = async || {
            let mut reading = room.begin();
            assert!(reading.add(THREADS * room.longest_body()));
            room.turn(reading).await.unwrap()
        };
        let panics = || -> Result<u32, ApiError> { panic!("at once") };
        let error = off_thread(turn().await, panics).await.unwrap_err();
        assert_eq!(error.body()["error"]["type"], "server_error");
        // It would wait for ever for what was not given back.
        let done = off_thread(turn().await, || Ok::<_, ApiError>(7)).await;
        assert_eq!(done, Ok(7));
    }
}
