//! Engines: what turns queued requests into tokens or vectors, on threads of their own.
//!
//! HTTP handlers see [`TextEngine`] alone, so how sequences share the device is the engine's
//! business: [`BatchingEngine`] computes a step of several at a time.

mod batching;
mod constraint;
mod deadline;
mod detokenize;
mod embedding;
mod heartbeat;
mod intake;
mod pace;
mod queue;
mod record;
mod sampling;
mod schedule;
mod stats;
mod stop;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use chandler_crds::names::headers;
use tokio::sync::mpsc;

pub use batching::{BatchLimits, BatchingEngine};
pub use constraint::Constraint;
pub use deadline::Deadline;
pub use detokenize::Detokenizer;
pub use embedding::{Answer, EmbeddingEngine, Vectors};
pub use heartbeat::{DeathWatch, Heartbeat, Liveness};
pub use intake::Intake;
pub use queue::{Abandon, Popped, PushError, Queue, QueueBounds};
pub use record::Recorder;
pub use sampling::{NoFiniteLogit, Sampler, Sampling, TokenLogprobs};
pub use stats::{EngineStats, Stats};
pub use stop::StopMatcher;

/// One sequence to write.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Token ids to go on from; at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to write; with none the prompt is read all the same. The engine stops at its context in any case.
    pub max_tokens: usize,
    /// Texts that end the answer and are no part of it.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form that the answer is held to.
    pub constraint: Option<Constraint>,
    /// Whether special tokens are part of the text, by their names.
    pub shows_special: bool,
    /// Whether it is told how likely each token was, and of how many in its place.
    pub logprobs: Option<usize>,
    /// Whether the answer begins with the prompt, of whose tokens `logprobs` are told as well.
    pub echo: bool,
    /// Where it stands among those that wait.
    pub standing: Standing,
    /// When nobody waits for the answer any more.
    pub deadline: Deadline,
    /// False for the server's own requests, which metrics leave out.
    pub measured: bool,
}

impl GenerateRequest {
    /// Whether it is told how likely the tokens of the prompt were.
    #[must_use]
    pub fn scores_prompt(&self) -> bool {
        self.echo && self.logprobs.is_some()
    }
}

/// Where a request stands among those that wait: by its priority first, and of equal ones the caller is
/// next for whom least was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is: equal for requests of one caller.
    pub caller: u64,
    /// The smaller goes first.
    pub priority: i32,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// At an end token or a stop string.
    Stop,
    /// At the most tokens that it could have.
    Length,
}

impl FinishReason {
    /// The word of the API and of the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Tokens that a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: usize,
    /// Tokens written, an end token included.
    pub completion_tokens: usize,
}

/// A piece of an answer. Never empty: where it has no text, it tells tokens that completed none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Its text; never part of a character.
    pub text: String,
    /// The tokens that it begins with or that begin in it, if that was asked for. One that a stop string
    /// cut off whole is told nowhere.
    pub logprobs: Vec<TokenLogprobs>,
}

/// What an engine tells of one sequence. The last event is `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// More of the answer.
    Text(Written),
    /// The answer is complete.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// The answer cannot be completed.
    Failed(EngineError),
}

/// Why an engine gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The model's computation failed.
    #[error("the model failed: {0}")]
    Model(String),
    /// The computation panicked. The engine goes on with the next request.
    #[error("the engine hit a bug while it served this request")]
    Panicked,
    /// The form that the answer is held to cannot go on.
    #[error("the answer can't be held to its form any further: {0}")]
    Constraint(String),
    /// The request's time was up before its answer was complete.
    #[error(
        "the request's time is up; ask for a shorter answer, or for more time by the header {}",
        headers::REQUEST_TIMEOUT
    )]
    TimeIsUp,
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Gone,
}

impl EngineError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Model(_) => "ModelFailed",
            Self::Panicked => "EnginePanicked",
            Self::Constraint(_) => "ConstraintFailed",
            Self::TimeIsUp => "RequestTimeout",
            Self::Gone => "EngineGone",
        }
    }
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.to_string())
    }
}

/// Why an engine did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("{waiting} requests are waiting already")]
    Busy {
        /// Requests ahead.
        waiting: usize,
        /// When the queue has likely moved on, by the service times measured so far.
        retry_after: Duration,
    },
    /// The engine takes no more requests.
    #[error("the engine has stopped")]
    Stopped,
}

impl Refused {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "QueueFull",
            Self::Stopped => "EngineGone",
        }
    }
}

/// What every engine tells about itself.
pub trait Engine: Send + Sync {
    /// How much it has to do.
    fn stats(&self) -> EngineStats;
    /// Whether its thread works.
    fn liveness(&self) -> Liveness;
    /// Whether one more request would be taken now. Lets a handler refuse before it works.
    ///
    /// # Errors
    /// When the queue is full or the engine has stopped.
    fn check_room(&self) -> Result<(), Refused>;
    /// When its queue has likely moved on, by the service times measured so far.
    fn retry_after(&self) -> Duration;
    /// Most requests that may wait.
    fn queue_capacity(&self) -> usize;
}

/// An engine that writes text.
pub trait TextEngine: Send + Sync {
    /// What it tells about itself.
    fn engine(&self) -> &dyn Engine;
    /// Longest sequence in tokens, prompt and answer together.
    fn context(&self) -> usize;
    /// Queues a request. Dropping the stream cancels it, waiting or running.
    ///
    /// # Errors
    /// When the queue is full or the engine has stopped.
    fn submit(&self, request: GenerateRequest) -> Result<EventStream, Refused>;
}

/// The events of one sequence.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::UnboundedReceiver<Event>,
}

impl EventStream {
    /// A stream and the sender that feeds it. Unbounded, so that a slow client never holds up
    /// the engine; the context bounds what can pile up.
    #[must_use]
    pub fn channel() -> (mpsc::UnboundedSender<Event>, Self) {
        let (sender, events) = mpsc::unbounded_channel();
        (sender, Self { events })
    }

    /// The next event. [`EngineError::Gone`] once the engine has dropped the sequence.
    pub async fn next(&mut self) -> Event {
        let event = self.events.recv().await;
        event.unwrap_or(Event::Failed(EngineError::Gone))
    }
}
