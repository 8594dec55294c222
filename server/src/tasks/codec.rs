//! What a model's tokenizer makes of texts, for who counts or shows tokens.

use std::sync::Arc;

use tokenizers::Tokenizer;

use super::PromptError;
use crate::load::encode_prompt;

/// From text to token ids and back.
#[derive(Clone, Debug)]
pub struct Codec {
    tokenizer: Arc<Tokenizer>,
    special: Special,
    size: usize,
}

/// The special tokens of a text that a model reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Special {
    /// This one before it, where there is one.
    Before(Option<u32>),
    /// Those that the tokenizer puts around it.
    Around,
}

impl Codec {
    /// Of a tokenizer whose ids go up to `size`.
    pub(super) fn new(tokenizer: Arc<Tokenizer>, special: Special, size: usize) -> Self {
        Self {
            tokenizer,
            special,
            size,
        }
    }

    /// The token ids of a text, with its special tokens or without. Blocks.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, PromptError> {
        let ids = match self.special {
            Special::Before(bos) => encode_prompt(&self.tokenizer, bos.filter(|_| special), text),
            Special::Around => {
                let encoding = self.tokenizer.encode_fast(text, special);
                encoding.map(|encoding| encoding.get_ids().to_vec())
            }
        };
        ids.map_err(PromptError::Tokenizer)
    }

    /// The text of tokens, special ones as their names. Blocks.
    ///
    /// # Errors
    /// [`PromptError::UnknownToken`], [`PromptError::Tokenizer`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, PromptError> {
        self.check(ids)?;
        let text = self.tokenizer.decode(ids, false);
        text.map_err(PromptError::Tokenizer)
    }

    /// Whether all tokens are of the vocabulary.
    ///
    /// # Errors
    /// [`PromptError::UnknownToken`] for the first that is not.
    pub fn check(&self, ids: &[u32]) -> Result<(), PromptError> {
        let size = self.size;
        match ids.iter().find(|id| **id as usize >= size) {
            Some(&id) => Err(PromptError::UnknownToken { id, size }),
            None => Ok(()),
        }
    }

    /// How the vocabulary writes a token; empty for an id that it leaves out.
    #[must_use]
    pub fn written(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_default()
    }

    /// Ids of tokens go up to this.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{BOS, VOCAB, byte_tokenizer};

    fn codec(special: Special) -> Codec {
        Codec::new(Arc::new(byte_tokenizer()), special, VOCAB)
    }

    #[test]
    fn a_text_begins_once_if_it_is_to() {
        let codec = codec(Special::Before(Some(BOS)));
        assert_eq!(codec.encode("a", true).unwrap(), [BOS, 97]);
        assert_eq!(codec.encode("<s>a", true).unwrap(), [BOS, 97]);
        assert_eq!(codec.encode("a", false).unwrap(), [97]);
        assert!(codec.encode("", false).unwrap().is_empty());
    }

    #[test]
    fn tokens_become_the_text_they_are_of() {
        let codec = codec(Special::Around);
        let ids = codec.encode("é<s>x", true).unwrap();
        assert_eq!(ids, [195, 169, BOS, 120]);
        assert_eq!(codec.decode(&ids).unwrap(), "é<s>x");
        assert_eq!(codec.written(BOS), "<s>");
        assert_eq!(codec.decode(&[]).unwrap(), "");
        let beyond = codec.decode(&[97, VOCAB as u32]).unwrap_err();
        assert_eq!(beyond.reason(), "UnknownToken");
    }
}
