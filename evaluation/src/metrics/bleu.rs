//! BLEU (Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL
//! 2002), as sacrebleu computes it by default: tokens of `13a`, orders 1 to 4, several references
//! with the closest length, and the exponential smoothing of `mteval-v13a.pl`, which is method 3 of
//! Chen and Cherry, "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU", 2014.
//!
//! ```text
//! BLEU = 100 · min(1, exp(1 − r/c)) · exp(¼ Σ ln(matches_n / totals_n))
//! ```
//!
//! Statistics: `c`, the answer's length, `r`, the reference's, four counts of matches, four totals.

use std::collections::HashMap;

use super::ngrams::counts;
use super::tokens::tokens_13a;

/// Longest n-gram, in tokens.
pub(super) const ORDER: usize = 4;

/// What of an answer's n-grams is in its references. Counts may be weighted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matches {
    /// Tokens of the answer.
    pub(super) answer: f64,
    /// Tokens of the reference that is closest in length, the shorter one of two.
    pub(super) reference: f64,
    /// By order, n-grams of the answer that a reference has as often.
    pub(super) matched: [f64; ORDER],
    /// By order, n-grams of the answer.
    pub(super) total: [f64; ORDER],
}

/// Which orders are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orders {
    /// All: an answer too short to have 4-grams scores 0. So sacrebleu scores a corpus.
    All,
    /// Those that the answer is long enough for. So sacrebleu scores a sentence.
    Observed,
}

/// Compares an answer with its references.
pub(crate) fn matches(answer: &str, references: &[String]) -> Matches {
    let answer = tokens_13a(answer);
    let references: Vec<_> = references.iter().map(|text| tokens_13a(text)).collect();
    let lengths = references.iter().map(Vec::len);
    let mut found = Matches {
        answer: answer.len() as f64,
        reference: closest(answer.len(), lengths) as f64,
        ..Matches::default()
    };
    for order in 1..=ORDER {
        let mut most = HashMap::new();
        for reference in &references {
            for (ngram, count) in counts(reference, order) {
                let highest = most.entry(ngram).or_insert(count);
                *highest = count.max(*highest);
            }
        }
        let common = counts(&answer, order)
            .into_iter()
            .map(|(ngram, count)| most.get(ngram).map_or(0, |most| count.min(*most)));
        found.matched[order - 1] = f64::from(common.sum::<u32>());
        found.total[order - 1] = (answer.len() + 1).saturating_sub(order) as f64;
    }
    found
}

/// The length that differs least from `length`; of two, the lesser one.
pub(super) fn closest(length: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let by_difference = lengths.min_by_key(|other| (other.abs_diff(length), *other));
    by_difference.unwrap_or_default()
}

/// The score of a suite, 0 to 100.
pub(crate) fn score(sum: &[f64]) -> f64 {
    let mut matched = [0.0; ORDER];
    let mut total = [0.0; ORDER];
    matched.copy_from_slice(&sum[2..2 + ORDER]);
    total.copy_from_slice(&sum[2 + ORDER..]);
    let summed = Matches {
        answer: sum[0],
        reference: sum[1],
        matched,
        total,
    };
    summed.score(Orders::All)
}

impl Matches {
    /// The numbers that add up over items.
    pub(crate) fn statistics(&self, weight: f64) -> Vec<f64> {
        let lengths = [self.answer, self.reference];
        let all = lengths.iter().chain(&self.matched).chain(&self.total);
        all.map(|count| count * weight).collect()
    }

    /// The score of one answer by itself, 0 to 100.
    pub(crate) fn sentence_score(&self) -> f64 {
        self.score(Orders::Observed)
    }

    fn score(&self, orders: Orders) -> f64 {
        // Smoothing is for orders without a match, not for answers without one.
        if self.matched.iter().all(|matched| *matched == 0.0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut observed = 0.0;
        let mut logs = 0.0;
        for (matched, total) in self.matched.iter().zip(&self.total) {
            if *total == 0.0 {
                break;
            }
            observed += 1.0;
            let precision = if *matched == 0.0 {
                smoothing *= 2.0;
                1.0 / (smoothing * total)
            } else {
                matched / total
            };
            logs += precision.ln();
        }
        if orders == Orders::All && observed < ORDER as f64 {
            return 0.0;
        }
        100.0 * self.brevity_penalty() * (logs / observed).exp()
    }

    fn brevity_penalty(&self) -> f64 {
        if self.answer >= self.reference {
            1.0
        } else {
            // No answer at all has no match either, and never comes here.
            (1.0 - self.reference / self.answer).exp()
        }
    }
}
