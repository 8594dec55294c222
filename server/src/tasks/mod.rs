//! What a model is served for: the way from a request's content to an engine's input.

mod classification;
mod codec;
mod embedding;
mod grammar;
mod refused;
mod text;
mod tools;
mod vocabulary;

use std::io;
use std::sync::Arc;

pub use classification::ClassificationTask;
pub use codec::Codec;
pub use embedding::{EmbeddingTask, InputError};
pub use grammar::{Form, GrammarError, Grammars};
pub use refused::PromptError;
pub use text::{TextTask, Tokens};
pub use tools::{Function, Part, ToolCallParser, ToolFormat};
pub use vocabulary::{TokenText, Vocabulary};

use crate::engine::{
    BatchLimits, BatchingEngine, EmbeddingEngine, Engine, EngineError, QueueBounds,
};
use crate::load::{EmbeddingModel, LoadedModel, Task, TextModel, sequences};
use crate::metrics::Metrics;

/// Limits of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// Most texts or sequences computed together; the engine's own choice when absent.
    pub max_batch: Option<usize>,
    /// What may wait. Tokens are bounded where text is written: what is embedded is soon done.
    pub queue: QueueBounds,
}

/// A text of a request, or its tokens where the client has them already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// To be tokenised.
    Text(String),
    /// Token ids, taken as they are.
    Tokens(Vec<u32>),
}

/// The one model that this process serves.
#[derive(Debug)]
pub enum Served {
    /// It writes text.
    Text(TextTask),
    /// It turns texts into vectors.
    Embedding(EmbeddingTask),
    /// It tells labels of texts.
    Classification(ClassificationTask),
}

impl Served {
    /// Starts the engine of a loaded model. Takes a moment of a processor's time for a large vocabulary.
    ///
    /// # Errors
    /// When the system gives no thread, or the tokenizer has no fingerprint.
    pub fn start(
        model: LoadedModel,
        task: Task,
        limits: EngineLimits,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        match model {
            LoadedModel::Text(model) => start_text(model, task, limits, metrics).map(Self::Text),
            LoadedModel::Embedding(model) => {
                start_encoder(model, limits, metrics).map(Self::Embedding)
            }
            LoadedModel::Classification(model) => {
                let encoder = start_encoder(model.encoder, limits, metrics)?;
                let task = ClassificationTask::new(encoder, model.labels);
                Ok(Self::Classification(task))
            }
        }
    }

    /// The task, as specs write it.
    #[must_use]
    pub fn task(&self) -> Task {
        match self {
            Self::Text(task) if task.has_chat() => Task::Chat,
            Self::Text(_) => Task::Completion,
            Self::Embedding(_) => Task::Embedding,
            Self::Classification(_) => Task::Classification,
        }
    }

    /// Longest sequence that it takes, in tokens.
    #[must_use]
    pub fn max_model_len(&self) -> usize {
        match self {
            Self::Text(task) => task.context(),
            Self::Embedding(task) => task.max_tokens(),
            Self::Classification(task) => task.encoder().max_tokens(),
        }
    }

    /// How its texts become tokens.
    #[must_use]
    pub fn codec(&self) -> Codec {
        match self {
            Self::Text(task) => task.codec(),
            Self::Embedding(task) => task.codec(),
            Self::Classification(task) => task.encoder().codec(),
        }
    }

    /// The engine, whatever it computes.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        match self {
            Self::Text(task) => task.engine(),
            Self::Embedding(task) => task.engine(),
            Self::Classification(task) => task.encoder().engine(),
        }
    }

    /// Answers one tiny request, so that the first client meets warm caches and a model that is
    /// known to compute.
    ///
    /// # Errors
    /// What the engine reports.
    pub async fn warm(&self) -> Result<(), EngineError> {
        match self {
            Self::Text(task) => task.warm().await,
            Self::Embedding(task) => task.warm().await,
            Self::Classification(task) => task.encoder().warm().await,
        }
    }
}

fn start_encoder(
    model: EmbeddingModel,
    limits: EngineLimits,
    metrics: Arc<Metrics>,
) -> io::Result<EmbeddingTask> {
    let (most, dimensions) = (model.embedder.max_tokens(), model.embedder.dimensions());
    let EngineLimits { max_batch, queue } = limits;
    let queue = QueueBounds::of_requests(queue.requests);
    let engine = EmbeddingEngine::start(model.embedder, max_batch, queue, metrics)?;
    EmbeddingTask::new(engine, model.tokenizer, most, dimensions)
}

fn start_text(
    model: TextModel,
    task: Task,
    limits: EngineLimits,
    metrics: Arc<Metrics>,
) -> io::Result<TextTask> {
    let tokenizer = Arc::new(model.tokenizer);
    let limits = BatchLimits {
        sequences: sequences(limits.max_batch),
        queue: limits.queue,
    };
    let engine = BatchingEngine::start(
        model.lm,
        Arc::clone(&tokenizer),
        model.end_tokens.clone(),
        limits,
        metrics,
    )?;
    let tokens = Tokens {
        tokenizer,
        bos: model.bos.filter(|_| model.add_bos),
        ends: model.end_tokens,
        size: model.vocab_size,
    };
    let template = model.template.filter(|_| task != Task::Completion);
    TextTask::new(Arc::new(engine), tokens, template)
}
