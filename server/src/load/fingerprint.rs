//! Short names of what decides how a request becomes tokens: replicas that tell the same ones read prompts alike.

use std::io::{self, Write};

use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 16;

/// The first 16 hexadecimal digits of SHA-256, as `sha256sum` writes them.
pub(crate) fn of_text(text: &str) -> String {
    short(Sha256::new_with_prefix(text))
}

/// The fingerprint of everything that a tokenizer does, whichever file it comes from: of its whole definition,
/// written as JSON.
///
/// # Errors
/// When one of its parts can't be written.
pub(crate) fn of_tokenizer(tokenizer: &Tokenizer) -> io::Result<String> {
    let mut pieces = Pieces(Sha256::new());
    serde_json::to_writer(&mut pieces, &**tokenizer)?;
    Ok(short(pieces.0))
}

fn short(hasher: Sha256) -> String {
    let mut digits = format!("{:x}", hasher.finalize());
    digits.truncate(DIGITS);
    digits
}

/// Takes a definition piece by piece: whole, it has megabytes.
struct Pieces(Sha256);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::byte_tokenizer;

    #[test]
    fn a_text_has_the_digits_that_sha256sum_writes() {
        // printf abc | sha256sum
        assert_eq!(of_text("abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn tokenizers_are_told_apart_by_all_that_they_do() {
        let first = of_tokenizer(&byte_tokenizer()).unwrap();
        assert_eq!(first, of_tokenizer(&byte_tokenizer()).unwrap());
        assert_eq!(first.len(), DIGITS);
        let mut more = byte_tokenizer();
        more.add_tokens([tokenizers::AddedToken::from("ab", false)])
            .unwrap();
        assert_ne!(first, of_tokenizer(&more).unwrap());
    }
}
