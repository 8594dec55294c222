//! Perplexity of the references (Jelinek et al., "Perplexity — a measure of the difficulty of speech
//! recognition tasks", 1977): among how many equally likely tokens a model would choose as unsurely.
//!
//! ```text
//! PPL = exp(−Σ ln p(token | tokens before it) / tokens)
//! ```
//!
//! The sum is over all tokens of all references, so a long reference counts more than a short one.
//! Tokens are the model's own: revisions with different tokenizers do not compare.
//!
//! Statistics: the weighted sum of natural logarithms, and the weighted count of tokens.

use crate::evidence::Problem;

/// Above 0 by more than this is no rounding of a logarithm of 1.
const ROUNDING: f64 = 1e-4;

/// From the natural logarithms of the probabilities of an item's tokens.
pub(crate) fn statistics(logprobs: &[f64], weight: f64) -> Result<Vec<f64>, Problem> {
    if logprobs.is_empty() {
        return Err(Problem::NoTokens);
    }
    for &logprob in logprobs {
        check_logprob(logprob)?;
    }
    let sum: f64 = logprobs.iter().map(|logprob| logprob.min(0.0)).sum();
    Ok(vec![sum * weight, logprobs.len() as f64 * weight])
}

/// Refuses what is no logarithm of a probability.
pub(super) fn check_logprob(logprob: f64) -> Result<(), Problem> {
    if !logprob.is_finite() {
        return Err(Problem::NotFinite);
    }
    if logprob > ROUNDING {
        return Err(Problem::PositiveLogprob { logprob });
    }
    Ok(())
}

/// At least 1. A token that is told as all but impossible would make it infinite, which JSON cannot
/// write.
pub(crate) fn score(sum: &[f64]) -> f64 {
    (-sum[0] / sum[1]).exp().min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_among_equals_is_their_number() {
        let eighth = -(8.0_f64.ln());
        let sum = statistics(&[eighth; 5], 3.0).expect("logarithms of probabilities");
        assert!((score(&sum) - 8.0).abs() < 1e-12);
        let sum = statistics(&[-9999.0], 1.0).expect("a very small probability");
        assert_eq!(score(&sum), f64::MAX);
    }

    #[test]
    fn what_is_no_logarithm_of_a_probability_is_refused() {
        assert_eq!(statistics(&[], 1.0), Err(Problem::NoTokens));
        assert_eq!(statistics(&[f64::NAN], 1.0), Err(Problem::NotFinite));
        let positive = Problem::PositiveLogprob { logprob: 0.5 };
        assert_eq!(statistics(&[-0.1, 0.5], 1.0), Err(positive));
    }
}
