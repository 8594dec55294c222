//! Whether an answer matches a regular expression, in the syntax of Rust's `regex`. A match may
//! begin and end anywhere: `^` and `$` tie it to the ends. Time is linear in the answer's length,
//! whatever the pattern.

use regex::Regex;

/// 1 if one of the patterns matches in the answer, as it is, else 0.
pub(crate) fn score(answer: &str, patterns: &[Regex]) -> f64 {
    f64::from(patterns.iter().any(|pattern| pattern.is_match(answer)))
}
