//! Whether an answer has a reference somewhere in it. White space is folded as for the exact match;
//! case, punctuation and the way an accent is composed do count.

use super::tokens::folded;

/// 1 if one of the references stands in the answer, else 0.
pub(crate) fn score(answer: &str, references: &[String]) -> f64 {
    let answer = folded(answer);
    let mut folded_references = references.iter().map(|reference| folded(reference));
    f64::from(folded_references.any(|reference| answer.contains(&reference)))
}
