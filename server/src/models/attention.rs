//! Attention of one token over the keys and values of its sequence, which lie in blocks.

use pulp::{Simd, WithSimd};

/// Query heads of one token that share a head of keys and values.
///
/// Keys and values are rows of `width` numbers, one a token; those of this head begin at `offset` in each.
/// A token's row is `blocks[token / block_tokens] · block_tokens + token % block_tokens`. All is summed in the
/// order of the tokens, so that what else is computed in a step changes no bit of it.
pub(super) struct Attention<'a> {
    /// So many heads of `dim` numbers.
    pub(super) queries: &'a [f32],
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) offset: usize,
    pub(super) dim: usize,
    /// The first token that it sees.
    pub(super) first: usize,
    /// Tokens that it sees from there on, itself the last.
    pub(super) seen: usize,
    pub(super) blocks: &'a [u32],
    pub(super) block_tokens: usize,
    /// Multiplies products of queries and keys.
    pub(super) scale: f32,
    /// Becomes the mixed values, as long as the queries.
    pub(super) mixed: &'a mut [f32],
}

impl WithSimd for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (dim, seen) = (self.dim, self.seen);
        let row = |rows: &[f32], token: usize| -> std::ops::Range<usize> {
            let token = self.first + token;
            let block = self.blocks[token / self.block_tokens] as usize;
            let at =
                (block * self.block_tokens + token % self.block_tokens) * self.width + self.offset;
            debug_assert!(at + dim <= rows.len());
            at..at + dim
        };
        let mut scores = vec![0f32; self.queries.len() / dim * seen];
        for token in 0..seen {
            let key = &self.keys[row(self.keys, token)];
            for (head, query) in self.queries.chunks_exact(dim).enumerate() {
                scores[head * seen + token] = self.scale * dot(simd, query, key);
            }
        }
        for scores in scores.chunks_exact_mut(seen) {
            softmax(scores);
        }
        self.mixed.fill(0.0);
        for token in 0..seen {
            let value = &self.values[row(self.values, token)];
            for (head, mixed) in self.mixed.chunks_exact_mut(dim).enumerate() {
                add_scaled(simd, mixed, scores[head * seen + token], value);
            }
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, one: &[f32], other: &[f32]) -> f32 {
    let (one, one_rest) = S::as_simd_f32s(one);
    let (other, other_rest) = S::as_simd_f32s(other);
    let mut sum = simd.splat_f32s(0.0);
    for (one, other) in one.iter().zip(other) {
        sum = simd.mul_add_f32s(*one, *other, sum);
    }
    let rest = one_rest.iter().zip(other_rest);
    rest.fold(simd.reduce_sum_f32s(sum), |sum, (one, other)| {
        one.mul_add(*other, sum)
    })
}

#[inline(always)]
fn add_scaled<S: Simd>(simd: S, sum: &mut [f32], factor: f32, more: &[f32]) {
    let (sum, sum_rest) = S::as_mut_simd_f32s(sum);
    let (more, more_rest) = S::as_simd_f32s(more);
    let factors = simd.splat_f32s(factor);
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = simd.mul_add_f32s(factors, *more, *sum);
    }
    for (sum, more) in sum_rest.iter_mut().zip(more_rest) {
        *sum = factor.mul_add(*more, *sum);
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
}
