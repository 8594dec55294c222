//! Runs of `n` elements: of words, or of characters.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `order` elements occurs. What is shorter than `order` has none.
pub(super) fn counts<T: Hash + Eq>(sequence: &[T], order: usize) -> HashMap<&[T], u32> {
    let mut counts = HashMap::new();
    for ngram in sequence.windows(order) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}
