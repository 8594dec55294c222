//! What each token of a vocabulary stands for in a text, by itself.

use serde_json::Value;
use tokenizers::Tokenizer;

/// How a vocabulary spells bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// Each byte is a character of its own, as in GPT-2.
    ByteLevel,
    /// `▁` is a space, and `<0x0A>` a byte, as in SentencePiece.
    SentencePiece,
    /// As it is.
    Plain,
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenText {
    /// These bytes of a text, which may be part of a character; none for an id that nothing has.
    Bytes(Vec<u8>),
    /// No text: it controls the model. This is its name.
    Special(String),
}

/// The tokens of a model, by their ids.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    tokens: Vec<TokenText>,
}

impl Vocabulary {
    /// The tokens with ids below `size`, as `tokenizer` spells them. Whatever it says of `end_tokens`, they
    /// end a text and are no part of it.
    #[must_use]
    pub fn new(tokenizer: &Tokenizer, size: usize, end_tokens: &[u32]) -> Self {
        let spelling = Spelling::of(tokenizer);
        let added = tokenizer.get_added_tokens_decoder();
        let text = |id: u32| match (added.get(&id), tokenizer.id_to_token(id)) {
            (Some(token), _) if token.special || end_tokens.contains(&id) => {
                TokenText::Special(token.content.clone())
            }
            (None, Some(name)) if end_tokens.contains(&id) => TokenText::Special(name),
            (Some(token), _) => TokenText::Bytes(token.content.clone().into_bytes()),
            (None, Some(name)) => TokenText::Bytes(spelling.bytes(&name)),
            (None, None) => TokenText::Bytes(Vec::new()),
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            tokens: (0..size).map(text).collect(),
        }
    }

    /// All tokens, in the order of their ids.
    #[must_use]
    pub fn tokens(&self) -> &[TokenText] {
        &self.tokens
    }

    /// The bytes of a token; `None` for one that stands for no text.
    #[must_use]
    pub fn bytes(&self, token: u32) -> Option<&[u8]> {
        match self.tokens.get(token as usize)? {
            TokenText::Bytes(bytes) => Some(bytes),
            TokenText::Special(_) => None,
        }
    }

    /// The text of a token, with U+FFFD where its bytes are no whole characters; the name of a special one.
    #[must_use]
    pub fn text(&self, token: u32) -> String {
        match self.tokens.get(token as usize) {
            Some(TokenText::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(TokenText::Special(name)) => name.clone(),
            None => String::new(),
        }
    }
}

impl Spelling {
    /// What turns tokens into text tells how they are spelled.
    fn of(tokenizer: &Tokenizer) -> Self {
        let decoder = serde_json::to_value(tokenizer.get_decoder()).unwrap_or_default();
        let has = |kind: &str| has_part(&decoder, kind);
        if has("ByteLevel") {
            Self::ByteLevel
        } else if has("ByteFallback") || has("Metaspace") || has("Replace") {
            Self::SentencePiece
        } else {
            Self::Plain
        }
    }

    fn bytes(self, name: &str) -> Vec<u8> {
        match self {
            // A character that stands for no byte stands for itself: then it was never made of bytes.
            Self::ByteLevel => {
                let bytes: Option<Vec<u8>> = name.chars().map(byte_of).collect();
                bytes.unwrap_or_else(|| name.as_bytes().to_vec())
            }
            Self::SentencePiece => match fallback_byte(name) {
                Some(byte) => vec![byte],
                None => name.replace('▁', " ").into_bytes(),
            },
            Self::Plain => name.as_bytes().to_vec(),
        }
    }
}

/// Whether a decoder is of a kind, or a sequence with one of it.
fn has_part(decoder: &Value, kind: &str) -> bool {
    let parts = decoder["decoders"].as_array().into_iter().flatten();
    decoder["type"] == kind || parts.into_iter().any(|part| has_part(part, kind))
}

/// The byte of `<0x0A>`.
fn fallback_byte(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The byte that GPT-2 writes as this character: printable ones as themselves, the others from U+0100 on
/// in their order.
fn byte_of(character: char) -> Option<u8> {
    let is_printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    match u32::from(character) {
        code @ 0..=255 => u8::try_from(code).ok().filter(is_printable),
        code => {
            let mut others = (0..=255u8).filter(|byte| !is_printable(byte));
            others.nth(usize::try_from(code - 256).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::testing::{BOS, EOS, VOCAB, byte_tokenizer};

    #[test]
    fn every_byte_of_a_byte_level_vocabulary_is_itself() {
        let vocabulary = Vocabulary::new(&byte_tokenizer(), VOCAB + 2, &[EOS]);
        for byte in 0..=255u8 {
            assert_eq!(vocabulary.bytes(u32::from(byte)), Some(&[byte][..]));
        }
        assert_eq!(vocabulary.text(0xC3), "\u{FFFD}");
        assert_eq!(vocabulary.bytes(BOS), None);
        assert_eq!(vocabulary.text(EOS), "</s>");
        // Weights may have rows that no token has.
        assert_eq!(vocabulary.bytes(VOCAB as u32 + 1), Some(&[][..]));
        assert_eq!(vocabulary.bytes(VOCAB as u32 + 2), None);
    }

    #[test]
    fn sentencepieces_spaces_bytes_and_ends_are_what_they_stand_for() {
        let definition = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [{"id": 4, "content": "<tool_call>", "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": false}],
            "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": true, "merges": [],
                "vocab": {"▁the": 0, "<0xC3>": 1, "<0xyz>": 2, "<end>": 3}},
        });
        let tokenizer = Tokenizer::from_bytes(definition.to_string()).unwrap();
        let vocabulary = Vocabulary::new(&tokenizer, 5, &[3]);
        assert_eq!(vocabulary.bytes(0), Some(&b" the"[..]));
        assert_eq!(vocabulary.bytes(1), Some(&[0xC3][..]));
        assert_eq!(vocabulary.bytes(2), Some(&b"<0xyz>"[..]));
        assert_eq!(vocabulary.bytes(3), None);
        assert_eq!(vocabulary.bytes(4), Some(&b"<tool_call>"[..]));
    }
}
