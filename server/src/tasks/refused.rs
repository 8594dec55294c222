//! Why prompts can't be taken.

use crate::load::TemplateError;

/// Why a prompt cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The model has no chat template, or is served for completions only.
    #[error("this model takes no chat messages; send a prompt to /v1/completions")]
    NoChat,
    /// The template does not take these messages.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// The tokenizer does not take the text.
    #[error("the text could not be tokenised: {0}")]
    Tokenizer(tokenizers::Error),
    /// There is nothing to go on from.
    #[error("the prompt is empty; write at least one token")]
    Empty,
    /// A token id that the model does not have.
    #[error("token id {id} is not in the vocabulary; ids go from 0 to {last}", last = .size.saturating_sub(1))]
    UnknownToken {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        size: usize,
    },
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {prompt} tokens, but this model's context is {context} tokens, answer included; shorten the prompt to at most {most} tokens", most = .context.saturating_sub(1)
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        context: usize,
    },
}

impl PromptError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoChat => "NoChat",
            Self::Template(error) => error.reason(),
            Self::Tokenizer(_) => "TokenizerFailed",
            Self::Empty => "PromptEmpty",
            Self::UnknownToken { .. } => "UnknownToken",
            Self::TooLong { .. } => "PromptTooLong",
        }
    }
}
