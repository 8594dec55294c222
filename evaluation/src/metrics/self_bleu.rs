//! Self-BLEU (Zhu et al., "Texygen: A Benchmarking Platform for Text Generation Models", SIGIR
//! 2018): the mean BLEU of each answer with all others as its references. The lower it is, the more
//! the answers differ.
//!
//! BLEU is that of a sentence as sacrebleu has it, so words and smoothing are not those of Texygen,
//! which calls NLTK: scores compare with each other, not with published ones.
//!
//! Each answer is scored once, against the whole suite. What is resampled are these scores: were the
//! references resampled too, an answer that is drawn twice would be its own reference.
//!
//! Statistics: those of a weighted mean.

use std::collections::HashMap;

use super::bleu::{Matches, ORDER, closest};
use super::ngrams::counts;
use super::tokens::tokens_13a;

/// The highest counts of an n-gram in one answer.
struct Most {
    count: u32,
    owner: usize,
    /// The highest count in any other answer.
    second: u32,
}

/// The score of each answer, 0 to 100, in time linear in the length of all.
pub(crate) fn scores<T: AsRef<str>>(answers: &[T]) -> Vec<f64> {
    let tokens: Vec<_> = answers
        .iter()
        .map(|answer| tokens_13a(answer.as_ref()))
        .collect();
    let mut found = vec![Matches::default(); answers.len()];
    let mut lengths: Vec<_> = tokens.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    for (matches, tokens) in found.iter_mut().zip(&tokens) {
        matches.answer = tokens.len() as f64;
        matches.reference = closest_other(tokens.len(), &lengths) as f64;
    }
    for order in 1..=ORDER {
        let counted: Vec<_> = tokens.iter().map(|tokens| counts(tokens, order)).collect();
        let most = most(&counted);
        for (index, ngrams) in counted.iter().enumerate() {
            let matched = ngrams.iter().map(|(ngram, count)| {
                let most = &most[ngram];
                let others = if most.owner == index {
                    most.second
                } else {
                    most.count
                };
                others.min(*count)
            });
            found[index].matched[order - 1] = f64::from(matched.sum::<u32>());
            found[index].total[order - 1] = f64::from(ngrams.values().sum::<u32>());
        }
    }
    found.iter().map(Matches::sentence_score).collect()
}

/// For each n-gram, its two highest counts.
fn most<'a>(counted: &[HashMap<&'a [String], u32>]) -> HashMap<&'a [String], Most> {
    let mut found: HashMap<&[String], Most> = HashMap::new();
    for (owner, ngrams) in counted.iter().enumerate() {
        for (ngram, &count) in ngrams {
            let most = found.entry(ngram).or_insert(Most {
                count: 0,
                owner,
                second: 0,
            });
            if count > most.count {
                most.second = most.count;
                (most.count, most.owner) = (count, owner);
            } else {
                most.second = most.second.max(count);
            }
        }
    }
    found
}

/// The length closest to that of one of the sorted lengths, leaving itself out.
fn closest_other(length: usize, sorted: &[usize]) -> usize {
    let at = sorted.partition_point(|other| *other < length);
    // The neighbours of its own place; of several answers of its length, the next one is one.
    let before = at.checked_sub(1).map(|index| sorted[index]);
    let after = sorted.get(at + 1).copied();
    closest(length, before.into_iter().chain(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bleu;

    #[test]
    fn each_answer_scores_as_bleu_scores_it_against_the_others() {
        let answers = [
            "the cat sat on the mat",
            "the cat sat on the the mat",
            "a dog ran, and ran, and ran away",
            "the dog sat",
            "",
            "a dog ran, and ran",
        ];
        let scores = scores(&answers);
        for (index, score) in scores.iter().enumerate() {
            let others = answers.iter().enumerate();
            let others: Vec<_> = others
                .filter(|(other, _)| *other != index)
                .map(|(_, text)| (*text).to_owned())
                .collect();
            let expected = bleu::matches(answers[index], &others).sentence_score();
            assert!((score - expected).abs() < 1e-12, "{index}: {score}");
        }
        assert!(scores.iter().any(|score| *score > 50.0), "{scores:?}");
    }
}
