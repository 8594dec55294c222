//! Texts to embed: from a request's inputs to token ids that fit the model.

use std::io;
use std::sync::Arc;

use tokenizers::Tokenizer;
use tokio::sync::oneshot;

use super::Input;
use super::codec::{Codec, Special};
use crate::engine::{Answer, Deadline, EmbeddingEngine, Engine, EngineError, Refused};
use crate::load::tokenizer_fingerprint;

/// Why the input at `index` cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It holds nothing.
    #[error("input {index} is empty; write at least one character or token")]
    Empty {
        /// Which input, from 0.
        index: usize,
    },
    /// It has more tokens than the model takes.
    #[error(
        "input {index} has {tokens} tokens, but this model takes at most {most}; split or shorten it"
    )]
    TooLong {
        /// Which input, from 0.
        index: usize,
        /// Its tokens, special ones included.
        tokens: usize,
        /// Tokens that the model takes.
        most: usize,
    },
    /// A token id that the model does not have.
    #[error("input {index} has token id {id}, which is not in the vocabulary; ids go from 0 to {last}", last = .size.saturating_sub(1))]
    UnknownToken {
        /// Which input, from 0.
        index: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        size: usize,
    },
    /// The tokenizer does not take it.
    #[error("input {index} could not be tokenised: {error}")]
    Tokenizer {
        /// Which input, from 0.
        index: usize,
        /// What the tokenizer says.
        error: tokenizers::Error,
    },
}

impl InputError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "InputEmpty",
            Self::TooLong { .. } => "InputTooLong",
            Self::UnknownToken { .. } => "UnknownToken",
            Self::Tokenizer { .. } => "TokenizerFailed",
        }
    }
}

/// A model that turns texts into vectors.
#[derive(Clone)]
pub struct EmbeddingTask {
    engine: Arc<EmbeddingEngine>,
    tokenizer: Arc<Tokenizer>,
    max_tokens: usize,
    dimensions: usize,
    tokenizer_fingerprint: Arc<str>,
}

impl std::fmt::Debug for EmbeddingTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddingTask")
            .field("max_tokens", &self.max_tokens)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

impl EmbeddingTask {
    /// A task on a running engine, whose model takes texts of at most `max_tokens` and gives
    /// vectors of length `dimensions`.
    ///
    /// # Errors
    /// When the tokenizer can't be written, and so has no fingerprint.
    pub fn new(
        engine: EmbeddingEngine,
        tokenizer: Tokenizer,
        max_tokens: usize,
        dimensions: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            engine: Arc::new(engine),
            tokenizer_fingerprint: tokenizer_fingerprint(&tokenizer)?.into(),
            tokenizer: Arc::new(tokenizer),
            max_tokens,
            dimensions,
        })
    }

    /// The tokenizer's fingerprint.
    #[must_use]
    pub fn tokenizer_fingerprint(&self) -> &str {
        &self.tokenizer_fingerprint
    }

    /// How texts become tokens.
    #[must_use]
    pub fn codec(&self) -> Codec {
        let size = self.tokenizer.get_vocab_size(true);
        Codec::new(Arc::clone(&self.tokenizer), Special::Around, size)
    }

    /// Most tokens of a text, special ones included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Length of every vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.engine.engine()
    }

    /// Queues a request's texts, whose vectors nobody waits for after the `deadline`.
    ///
    /// # Errors
    /// When the engine takes no more.
    pub fn submit(
        &self,
        inputs: Vec<Vec<u32>>,
        deadline: Deadline,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        self.engine.submit(inputs, true, deadline)
    }

    /// The token ids of each input, special tokens around those that were text. Blocks.
    ///
    /// # Errors
    /// [`InputError`] for the first input that cannot be embedded.
    pub fn tokenize(&self, inputs: &[Input]) -> Result<Vec<Vec<u32>>, InputError> {
        let each = inputs.iter().enumerate();
        each.map(|(index, input)| self.ids(index, input)).collect()
    }

    /// Embeds one word.
    ///
    /// # Errors
    /// What the engine reports.
    pub async fn warm(&self) -> Result<(), EngineError> {
        let failed = |error: InputError| EngineError::Model(error.to_string());
        let inputs = self.tokenize(&[Input::Text("Hello".to_owned())]);
        let answer = self
            .engine
            .submit(inputs.map_err(failed)?, false, Deadline::NEVER);
        let answer = answer.map_err(|_| EngineError::Gone)?.await;
        answer.unwrap_or(Err(EngineError::Gone)).map(drop)
    }

    fn ids(&self, index: usize, input: &Input) -> Result<Vec<u32>, InputError> {
        let ids = match input {
            Input::Text(text) if text.is_empty() => return Err(InputError::Empty { index }),
            Input::Tokens(ids) if ids.is_empty() => return Err(InputError::Empty { index }),
            Input::Text(text) => {
                let encoding = self.tokenizer.encode_fast(text.as_str(), true);
                let encoding = encoding.map_err(|error| InputError::Tokenizer { index, error })?;
                encoding.get_ids().to_vec()
            }
            Input::Tokens(ids) => ids.clone(),
        };
        let size = self.tokenizer.get_vocab_size(true);
        if let Some(id) = ids.iter().find(|id| **id as usize >= size) {
            let id = *id;
            return Err(InputError::UnknownToken { index, id, size });
        }
        let (tokens, most) = (ids.len(), self.max_tokens);
        if tokens > most {
            return Err(InputError::TooLong {
                index,
                tokens,
                most,
            });
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::QueueBounds;
    use crate::engine::testing::{ToyEmbedder, byte_tokenizer};
    use crate::metrics::Metrics;

    fn task() -> EmbeddingTask {
        let metrics = Arc::new(Metrics::new("m").unwrap());
        let bounds = QueueBounds::of_requests(4);
        let engine = EmbeddingEngine::start(Box::new(ToyEmbedder::new()), None, bounds, metrics);
        EmbeddingTask::new(engine.unwrap(), byte_tokenizer(), 64, 3).unwrap()
    }

    fn text(text: &str) -> Input {
        Input::Text(text.to_owned())
    }

    #[test]
    fn texts_and_tokens_become_ids() {
        let inputs = [text("ab"), Input::Tokens(vec![3, 4, 5])];
        let ids = task().tokenize(&inputs).unwrap();
        assert_eq!(ids, [vec![97, 98], vec![3, 4, 5]]);
    }

    #[test]
    fn the_input_that_cannot_be_embedded_is_named() {
        let refuse = |input: Input| {
            let error = task().tokenize(&[text("fine"), input]).unwrap_err();
            error.to_string()
        };
        assert!(refuse(text("")).starts_with("input 1 is empty"));
        assert!(refuse(Input::Tokens(vec![])).starts_with("input 1 is empty"));
        let long = refuse(text(&"x".repeat(65)));
        assert!(long.starts_with("input 1 has 65 tokens, but this model takes at most 64"));
        assert!(refuse(Input::Tokens(vec![258])).starts_with("input 1 has token id 258"));
    }

    #[tokio::test]
    async fn warming_computes() {
        task().warm().await.unwrap();
    }
}
