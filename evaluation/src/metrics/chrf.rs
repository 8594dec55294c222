//! chrF2 (Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015; β = 2 by
//! her "chrF deconstructed", WMT 2016), as sacrebleu computes it by default: n-grams of 1 to 6
//! characters without white space, no words, the best of several references.
//!
//! ```text
//! chrF = 100 · (1 + β²) P R / (β² P + R)
//! ```
//!
//! `P` and `R` are means over the orders that both sides have n-grams of. A suite's counts are
//! summed order by order before they are divided.
//!
//! Statistics: for each order, n-grams of the answer, of the reference, and of both.

use std::collections::HashMap;

use super::ngrams::counts;
use super::tokens::is_space;

/// Longest n-gram, in characters.
const ORDER: usize = 6;
/// How much more recall counts than precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// Counts of one order. They may be weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    /// N-grams of the answer; 0 where the reference has none to compare with.
    answer: f64,
    /// N-grams of the reference.
    reference: f64,
    /// Those that both have.
    both: f64,
}

/// An answer beside its best reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matches([Counts; ORDER]);

/// Compares an answer with each reference; the first of the best counts.
pub(crate) fn matches(answer: &str, references: &[String]) -> Matches {
    let answer = characters(answer);
    let answer_counts = orders(&answer);
    let mut best = Matches([Counts::default(); ORDER]);
    let mut best_score = -1.0;
    for reference in references {
        let reference = characters(reference);
        let found = matches_one(&answer_counts, &orders(&reference));
        let score = found.score();
        if score > best_score {
            (best, best_score) = (found, score);
        }
    }
    best
}

/// chrF of one answer to one reference, 0 to 100. Two that are empty are alike.
#[must_use]
pub fn chrf(answer: &str, reference: &str) -> f64 {
    let (answer, reference) = (characters(answer), characters(reference));
    if answer == reference {
        return 100.0;
    }
    matches_one(&orders(&answer), &orders(&reference)).score()
}

type Ngrams<'a> = HashMap<&'a [char], u32>;

fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| !is_space(*c)).collect()
}

fn orders(characters: &[char]) -> [Ngrams<'_>; ORDER] {
    std::array::from_fn(|index| counts(characters, index + 1))
}

fn matches_one(answer: &[Ngrams<'_>; ORDER], reference: &[Ngrams<'_>; ORDER]) -> Matches {
    Matches(std::array::from_fn(|index| {
        let (answer, reference) = (&answer[index], &reference[index]);
        let both = answer.iter().map(|(ngram, count)| {
            let most = reference.get(ngram).copied().unwrap_or_default();
            most.min(*count)
        });
        let total = |ngrams: &Ngrams<'_>| f64::from(ngrams.values().sum::<u32>());
        Counts {
            answer: if reference.is_empty() {
                0.0
            } else {
                total(answer)
            },
            reference: total(reference),
            both: f64::from(both.sum::<u32>()),
        }
    }))
}

/// The score of a suite, 0 to 100.
pub(crate) fn score(sum: &[f64]) -> f64 {
    let (triples, _) = sum.as_chunks::<3>();
    Matches(std::array::from_fn(|index| {
        let [answer, reference, both] = triples[index];
        Counts {
            answer,
            reference,
            both,
        }
    }))
    .score()
}

impl Matches {
    /// The numbers that add up over items.
    pub(crate) fn statistics(&self, weight: f64) -> Vec<f64> {
        let counts = self.0.iter();
        let flat = counts.flat_map(|counts| [counts.answer, counts.reference, counts.both]);
        flat.map(|count| count * weight).collect()
    }

    /// 0 to 100.
    pub(crate) fn score(&self) -> f64 {
        let (mut precision, mut recall, mut effective) = (0.0, 0.0, 0.0);
        for counts in &self.0 {
            if counts.answer > 0.0 && counts.reference > 0.0 {
                precision += counts.both / counts.answer;
                recall += counts.both / counts.reference;
                effective += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / effective, recall / effective);
        let f = (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall);
        100.0 * f
    }
}
