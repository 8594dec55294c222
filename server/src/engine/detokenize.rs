//! Text from tokens, one token at a time, and never half a character.

use std::sync::Arc;

use tokenizers::Tokenizer;

/// What a decoder gives for bytes that are not (yet) a character.
const REPLACEMENT: char = '\u{FFFD}';
/// Tokens without one whole character after which the bytes are taken as broken for good. A
/// character has four bytes at most, but a run of tokens may end inside one each time.
const MAX_WINDOW: usize = 64;

/// Turns token ids into text incrementally.
///
/// Decoders look at neighbours (a leading space depends on the token before), so each step
/// decodes a window that starts with tokens already shown, and gives only what is new.
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    /// `context` tokens that are shown already, then those being decoded.
    window: Vec<u32>,
    context: usize,
    /// Bytes of the decoded window that have been given out.
    shown: usize,
    skips_special: bool,
}

impl std::fmt::Debug for Detokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detokenizer")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Detokenizer {
    /// A detokeniser at the start of a text. Special tokens decode to nothing.
    #[must_use]
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self {
            tokenizer,
            window: Vec::new(),
            context: 0,
            shown: 0,
            skips_special: true,
        }
    }

    /// The same that decodes special tokens to their names, if they are shown.
    #[must_use]
    pub fn with_special(self, shown: bool) -> Self {
        Self {
            skips_special: !shown,
            ..self
        }
    }

    /// Adds a token and gives the characters that it completes.
    ///
    /// # Errors
    /// What the tokenizer's decoder reports.
    pub fn push(&mut self, token: u32) -> tokenizers::Result<String> {
        self.window.push(token);
        let text = self.tokenizer.decode(&self.window, self.skips_special)?;
        let whole = text.trim_end_matches(REPLACEMENT).len();
        let broken = self.window.len() - self.context > MAX_WINDOW;
        let end = if broken { text.len() } else { whole };
        let new = text.get(self.shown..end).unwrap_or_default().to_owned();
        self.shown = self.shown.max(end);
        if end == text.len() && (broken || !new.is_empty()) {
            self.window.drain(..self.context);
            self.context = self.window.len();
            self.shown = self
                .tokenizer
                .decode(&self.window, self.skips_special)?
                .len();
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte-level vocabulary: token id = byte.
    fn bytes() -> Arc<Tokenizer> {
        Arc::new(crate::engine::testing::byte_tokenizer())
    }

    fn pieces(bytes_in: &[u8]) -> Vec<String> {
        let mut detokenizer = Detokenizer::new(bytes());
        let ids = bytes_in.iter().map(|byte| u32::from(*byte));
        ids.map(|id| detokenizer.push(id).unwrap()).collect()
    }

    #[test]
    fn characters_come_whole() {
        assert_eq!(pieces("aé".as_bytes()), ["a", "", "é"]);
        assert_eq!(pieces("😀!".as_bytes()), ["", "", "", "😀", "!"]);
    }

    #[test]
    fn special_tokens_are_shown_where_they_are_wanted() {
        use crate::engine::testing::BOS;
        for (shown, text) in [(false, ""), (true, "<s>")] {
            let mut detokenizer = Detokenizer::new(bytes()).with_special(shown);
            assert_eq!(detokenizer.push(BOS).unwrap(), text);
        }
    }

    #[test]
    fn a_text_cut_inside_a_character_ends_before_it() {
        assert_eq!(pieces(&"né".as_bytes()[..2]).concat(), "n");
    }

    #[test]
    fn broken_bytes_do_not_hold_up_what_follows() {
        assert_eq!(pieces(b"a\xFFb").concat(), "a\u{FFFD}b");
        let many: Vec<u8> = std::iter::repeat_n(0xFF, 200).chain(*b"ok").collect();
        assert!(pieces(&many).concat().ends_with("\u{FFFD}ok"));
    }

    #[test]
    fn long_texts_come_back_as_they_were() {
        let text = "Grüße, 世界! ".repeat(40);
        assert_eq!(pieces(text.as_bytes()).concat(), text);
    }
}
