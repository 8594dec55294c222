//! Attention of several tokens over the keys and values of their sequence, which lie in blocks.
//!
//! Queries are taken a few at a time, so that what is read of the cache serves several of them. Each sum goes on in the
//! order of the tokens, and of the numbers of a head, whatever the tile: what else is computed in a step changes no bit
//! of it.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::exp::exp;

/// Tokens whose scores are computed at once; blocks of the cache hold a multiple of them.
pub const LANES: usize = 16;
/// Queries that are taken at once, at most: their sums, and what they are multiplied by, fill the registers.
const TILE: usize = 4;

/// Where the keys and values of one head lie.
#[derive(Clone, Copy, Debug)]
pub struct HeadCache<'a> {
    /// `(blocks, heads, dim, block_tokens)`: the tokens of a block side by side.
    pub keys: &'a [f32],
    /// `(blocks, heads, block_tokens, dim)`.
    pub values: &'a [f32],
    pub heads: usize,
    /// Which of the heads.
    pub head: usize,
    pub dim: usize,
    pub block_tokens: usize,
}

impl<'a> HeadCache<'a> {
    /// Keys and values of a block.
    fn block(&self, block: u32) -> (&'a [f32], &'a [f32]) {
        let length = self.dim * self.block_tokens;
        let at = (block as usize * self.heads + self.head) * length;
        (&self.keys[at..][..length], &self.values[at..][..length])
    }
}

/// One head of a token.
#[derive(Debug)]
pub struct Query<'a> {
    pub query: &'a [f32],
    /// The first token that it sees.
    pub first: usize,
    /// Its own position plus one.
    pub end: usize,
    /// Becomes the mixed values.
    pub mixed: &'a mut [f32],
}

/// Queries of one sequence to one head of its keys and values.
#[derive(Debug)]
pub struct Attention<'a, 'b> {
    pub queries: &'b mut [Query<'a>],
    pub cache: HeadCache<'a>,
    /// Of the sequence.
    pub blocks: &'a [u32],
    /// Multiplies products of queries and keys.
    pub scale: f32,
}

impl Attention<'_, '_> {
    /// Mixes the values for each of the queries.
    pub fn attend(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Attention<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut scratch = Vec::new();
        let tiles = self.queries.len().div_ceil(TILE).max(1);
        let size = self.queries.len().div_ceil(tiles).max(1);
        for tile in self.queries.chunks_mut(size) {
            let seen = Seen::of(tile, self.cache, self.blocks);
            match tile.len() {
                1 => attend::<S, 1>(simd, tile, seen, self.scale, &mut scratch),
                2 => attend::<S, 2>(simd, tile, seen, self.scale, &mut scratch),
                3 => attend::<S, 3>(simd, tile, seen, self.scale, &mut scratch),
                _ => attend::<S, TILE>(simd, tile, seen, self.scale, &mut scratch),
            }
        }
    }
}

/// The tokens that any query of a tile sees.
#[derive(Clone, Copy)]
struct Seen<'a> {
    cache: HeadCache<'a>,
    blocks: &'a [u32],
    /// The first, and the one after the last.
    first: usize,
    end: usize,
}

impl<'a> Seen<'a> {
    fn of(tile: &[Query<'_>], cache: HeadCache<'a>, blocks: &'a [u32]) -> Self {
        let first = tile.iter().map(|query| query.first).min();
        let end = tile.iter().map(|query| query.end).max();
        Self {
            cache,
            blocks,
            first: first.unwrap_or(0),
            end: end.unwrap_or(0),
        }
    }

    /// Where scores begin: at the first block that is seen.
    fn start(&self) -> usize {
        self.first / self.cache.block_tokens * self.cache.block_tokens
    }

    /// Scores of a query: those of whole blocks.
    fn width(&self) -> usize {
        self.end.next_multiple_of(self.cache.block_tokens) - self.start()
    }

    /// The blocks that are seen, each with the place of its scores.
    fn blocks(self) -> impl Iterator<Item = (usize, &'a [f32], &'a [f32])> {
        let tokens = self.cache.block_tokens;
        let range = self.first / tokens..self.end.div_ceil(tokens);
        self.blocks[range]
            .iter()
            .enumerate()
            .map(move |(at, block)| {
                let (keys, values) = self.cache.block(*block);
                (at * tokens, keys, values)
            })
    }
}

#[inline(always)]
fn attend<S: Simd, const M: usize>(
    simd: S,
    tile: &mut [Query<'_>],
    seen: Seen<'_>,
    scale: f32,
    scratch: &mut Vec<f32>,
) {
    let (width, dim, tokens) = (seen.width(), seen.cache.dim, seen.cache.block_tokens);
    scratch.clear();
    scratch.resize(M * (width + dim), 0.0);
    let (scores, mixed) = scratch.split_at_mut(M * width);
    let queries: [&[f32]; M] = std::array::from_fn(|m| tile[m].query);
    for (at, keys, _) in seen.blocks() {
        for lanes in (0..tokens).step_by(LANES) {
            let scores = &mut scores[at + lanes..];
            score::<S, M>(simd, queries, (&keys[lanes..], tokens), (scores, width));
        }
    }
    let mut sums = [0.0; M];
    for ((scores, query), sum) in scores.chunks_exact_mut(width).zip(&*tile).zip(&mut sums) {
        let range = query.first - seen.start()..query.end - seen.start();
        *sum = weigh(simd, scores, range, scale);
    }
    for (at, _, values) in seen.blocks() {
        let from = seen.first.saturating_sub(seen.start() + at);
        let to = (seen.end - seen.start() - at).min(tokens);
        let weights = std::array::from_fn(|m| &scores[m * width + at..][from..to]);
        mix::<S, M>(simd, weights, &values[from * dim..to * dim], mixed);
    }
    for ((mixed, query), sum) in mixed.chunks_exact(dim).zip(tile).zip(sums) {
        for (to, from) in query.mixed.iter_mut().zip(mixed) {
            *to = from / sum;
        }
    }
}

/// The scores of [`LANES`] tokens with each query, those of query `m` at `m · width`; number `i` of their keys is at
/// `i · stride`.
#[inline(always)]
fn score<S: Simd, const M: usize>(
    simd: S,
    queries: [&[f32]; M],
    (keys, stride): (&[f32], usize),
    (scores, width): (&mut [f32], usize),
) {
    let vectors = LANES / S::F32_LANES;
    if vectors == 1 {
        score_some::<S, M, 1>(simd, queries, (keys, stride), (scores, width), 0);
    }
    for lane in (0..vectors / 2).map(|pair| 2 * pair) {
        score_some::<S, M, 2>(simd, queries, (keys, stride), (scores, width), lane);
    }
}

/// Of these the `V` vectors from number `lane` on.
#[inline(always)]
fn score_some<S: Simd, const M: usize, const V: usize>(
    simd: S,
    queries: [&[f32]; M],
    (keys, stride): (&[f32], usize),
    (scores, width): (&mut [f32], usize),
    lane: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    let dim = queries[0].len();
    // All as long as the first, so that no place in them has to be checked.
    let queries: [&[f32]; M] = std::array::from_fn(|m| &queries[m][..dim]);
    for number in 0..dim {
        let (keys, _) = S::as_simd_f32s(&keys[number * stride..][..LANES]);
        let keys: [S::f32s; V] = std::array::from_fn(|v| keys[lane + v]);
        for (sums, query) in sums.iter_mut().zip(queries) {
            let query = simd.splat_f32s(query[number]);
            for (sum, key) in sums.iter_mut().zip(keys) {
                *sum = simd.mul_add_f32s(query, key, *sum);
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        let (scores, _) = S::as_mut_simd_f32s(&mut scores[m * width..][..LANES]);
        scores[lane..lane + V].copy_from_slice(sums);
    }
}

/// Turns the scores within `range`, which `scale` multiplies, into weights, and the others into zeros; gives the sum of
/// the weights.
#[inline(always)]
fn weigh<S: Simd>(simd: S, scores: &mut [f32], range: Range<usize>, scale: f32) -> f32 {
    scores[..range.start].fill(f32::NEG_INFINITY);
    scores[range.end..].fill(f32::NEG_INFINITY);
    let (vectors, _) = S::as_mut_simd_f32s(&mut *scores);
    let mut most = simd.splat_f32s(f32::NEG_INFINITY);
    for scores in vectors.iter() {
        most = simd.max_f32s(most, *scores);
    }
    let most = simd.splat_f32s(simd.reduce_max_f32s(most));
    let scale = simd.splat_f32s(scale);
    for scores in vectors.iter_mut() {
        let beneath = simd.sub_f32s(*scores, most);
        *scores = exp(simd, simd.mul_f32s(scale, beneath));
    }
    scores[..range.start].fill(0.0);
    scores[range.end..].fill(0.0);
    let (vectors, _) = S::as_simd_f32s(&*scores);
    let mut sum = simd.splat_f32s(0.0);
    for weights in vectors {
        sum = simd.add_f32s(sum, *weights);
    }
    simd.reduce_sum_f32s(sum)
}

/// Adds the weighted values of some tokens, `(tokens, dim)`, to each query's sum.
#[inline(always)]
fn mix<S: Simd, const M: usize>(simd: S, weights: [&[f32]; M], values: &[f32], mixed: &mut [f32]) {
    let dim = mixed.len() / M;
    let vectors = dim / S::F32_LANES;
    for lane in (0..vectors / 2).map(|pair| 2 * pair) {
        mix_some::<S, M, 2>(simd, weights, values, mixed, lane);
    }
    if !vectors.is_multiple_of(2) {
        mix_some::<S, M, 1>(simd, weights, values, mixed, vectors - 1);
    }
    let whole = vectors * S::F32_LANES;
    for (weights, mixed) in weights.iter().zip(mixed.chunks_exact_mut(dim)) {
        for (values, weight) in values.chunks_exact(dim).zip(*weights) {
            for (sum, value) in mixed[whole..].iter_mut().zip(&values[whole..]) {
                *sum = weight.mul_add(*value, *sum);
            }
        }
    }
}

/// Of these the `V` vectors from number `lane` on.
#[inline(always)]
fn mix_some<S: Simd, const M: usize, const V: usize>(
    simd: S,
    weights: [&[f32]; M],
    values: &[f32],
    mixed: &mut [f32],
    lane: usize,
) {
    let dim = mixed.len() / M;
    let range = lane * S::F32_LANES..(lane + V) * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    for (sums, mixed) in sums.iter_mut().zip(mixed.chunks_exact(dim)) {
        let (mixed, _) = S::as_simd_f32s(&mixed[range.clone()]);
        sums.copy_from_slice(mixed);
    }
    let tokens = values.len() / dim;
    let weights: [&[f32]; M] = std::array::from_fn(|m| &weights[m][..tokens]);
    for (token, values) in (0..tokens).zip(values.chunks_exact(dim)) {
        let (values, _) = S::as_simd_f32s(&values[range.clone()]);
        let values: [S::f32s; V] = std::array::from_fn(|v| values[v]);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weight = simd.splat_f32s(weights[token]);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = simd.mul_add_f32s(weight, value, *sum);
            }
        }
    }
    for (sums, mixed) in sums.iter().zip(mixed.chunks_exact_mut(dim)) {
        let (mixed, _) = S::as_mut_simd_f32s(&mut mixed[range.clone()]);
        mixed.copy_from_slice(sums);
    }
}
