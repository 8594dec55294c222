//! Whether an answer equals a reference, and nothing more: Rajpurkar et al., "`SQuAD`: 100,000+
//! Questions for Machine Comprehension of Text", 2016, without its removal of articles, case and
//! punctuation.
//!
//! White space at the ends does not count, and each run of Unicode's white space is one space. Case,
//! punctuation and the way an accent is composed do count.

use super::tokens::folded;

/// 1 if the answer equals one of the references, else 0.
pub(crate) fn score(answer: &str, references: &[String]) -> f64 {
    let answer = folded(answer);
    let mut folded_references = references.iter().map(|reference| folded(reference));
    f64::from(folded_references.any(|reference| reference == answer))
}
