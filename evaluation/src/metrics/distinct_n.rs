//! distinct-n (Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models",
//! NAACL 2016): different n-grams over all n-grams of the answers together, for n = 2, of the words
//! that BLEU sees. The more the answers repeat themselves and each other, the lower it is. It falls
//! with the answers' length too, so revisions are compared on the same suite and limit of tokens.
//!
//! A share of different things is no sum over items, and resampling items would count each item
//! that is drawn twice as a repetition: every resampled suite would score lower than the suite
//! itself. What is resampled are therefore Tukey's pseudo-values of the jackknife,
//!
//! ```text
//! p_i = N θ − (N − 1) θ_(−i)
//! ```
//!
//! where `θ_(−i)` is the score without item `i` (Efron and Tibshirani 1993, chapter 11), moved
//! together so that their mean is `θ` itself. Their variance over `N` is the jackknife's estimate of
//! the score's variance, which is too large rather than too small on average (Efron and Stein, "The
//! Jackknife Estimate of Variance", 1981).
//!
//! Statistics: the pseudo-value, and 1. Weights do not count: an answer is either there or not.

use std::collections::HashMap;

use super::mean;
use super::tokens::tokens_13a;

/// Words of an n-gram.
const ORDER: usize = 2;

/// One answer among the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    /// What it has to do with the score, 0 to 1: the mean over its n-grams of one over how often
    /// the suite has each. Weighted by n-grams, the mean of these is the suite's score.
    pub(crate) score: f64,
    /// Its statistics.
    pub(crate) statistics: Vec<f64>,
}

/// How often an n-gram occurs, and whose it is.
struct Uses {
    count: u32,
    /// The one answer that has it, if it is one.
    owner: Option<usize>,
}

/// The shares of all answers.
pub(crate) fn shares<T: AsRef<str>>(answers: &[T]) -> Vec<Share> {
    let tokens: Vec<_> = answers
        .iter()
        .map(|answer| tokens_13a(answer.as_ref()))
        .collect();
    let mut uses: HashMap<&[String], Uses> = HashMap::new();
    for (index, tokens) in tokens.iter().enumerate() {
        for ngram in tokens.windows(ORDER) {
            let uses = uses.entry(ngram).or_insert(Uses {
                count: 0,
                owner: Some(index),
            });
            uses.count += 1;
            uses.owner = uses.owner.filter(|owner| *owner == index);
        }
    }
    let mut owned = vec![0_u32; answers.len()];
    for owner in uses.values().filter_map(|uses| uses.owner) {
        owned[owner] += 1;
    }
    let totals: Vec<_> = tokens
        .iter()
        .map(|tokens| tokens.windows(ORDER).len() as f64)
        .collect();
    let pseudo_values = pseudo_values(uses.len() as f64, &totals, &owned);
    let score = |index: usize, tokens: &Vec<String>| {
        let credit = tokens
            .windows(ORDER)
            .map(|ngram| 1.0 / f64::from(uses[ngram].count));
        ratio(credit.sum(), totals[index])
    };
    let shares = tokens.iter().enumerate().map(|(index, tokens)| Share {
        score: score(index, tokens),
        statistics: mean::statistics(pseudo_values[index], 1.0),
    });
    shares.collect()
}

/// From the count of different n-grams, of each answer's n-grams, and of those that it alone has.
fn pseudo_values(distinct: f64, totals: &[f64], owned: &[u32]) -> Vec<f64> {
    let total: f64 = totals.iter().sum();
    let score = ratio(distinct, total);
    let without =
        |(owned, of_answer): (&u32, &f64)| ratio(distinct - f64::from(*owned), total - of_answer);
    let without: Vec<_> = owned.iter().zip(totals).map(without).collect();
    let count = totals.len() as f64;
    let mean = without.iter().sum::<f64>() / count;
    let moved = without
        .iter()
        .map(|without| score + (count - 1.0) * (mean - without));
    moved.collect()
}

/// No n-grams at all are not diverse.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(answers: &[&str]) -> f64 {
        let shares = shares(answers);
        let sums = [0, 1].map(|column| {
            let values = shares.iter().map(|share| share.statistics[column]);
            values.sum()
        });
        mean::score(&sums)
    }

    #[test]
    fn different_pairs_of_words_are_counted_over_all() {
        // a b, b c, c a, a b; then a b, b d: 4 of 6 differ.
        let answers = ["a b c a b", "a b d"];
        assert!((score(&answers) - 4.0 / 6.0).abs() < 1e-12);
        let shares = shares(&answers);
        // A third for each `a b`.
        assert!((shares[0].score - (2.0 / 3.0 + 2.0) / 4.0).abs() < 1e-12);
        assert!((shares[1].score - (1.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_spread_of_pseudo_values_is_the_jackknifes() {
        let answers = ["a b c", "a b d e", "x y", "x y z a b"];
        let all = score(&answers);
        let shares = shares(&answers);
        let values: Vec<_> = shares.iter().map(|share| share.statistics[0]).collect();
        for skipped in 0..answers.len() {
            let mut others = answers.to_vec();
            others.remove(skipped);
            let first = (values[skipped] - values[0]) / 3.0;
            let mut without_first = answers.to_vec();
            without_first.remove(0);
            let expected = score(&without_first) - score(&others);
            assert!((first - expected).abs() < 1e-12, "{skipped} of {all}");
        }
    }

    #[test]
    fn answers_of_one_word_have_no_pairs() {
        assert_eq!(score(&["a", "b", ""]), 0.0);
        assert_eq!(score(&["a b"]), 1.0);
    }
}
