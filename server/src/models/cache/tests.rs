//! Both ways to keep keys and values, and to attend to them, give the same.

use candle_core::Tensor;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// How far what both mix may be apart: all numbers are within 1.
const TOLERANCE: f32 = 1e-5;
const SIZE: CacheSize = CacheSize {
    blocks: 24,
    block_tokens: 16,
};

/// Keys and values by both backends, and where they get their numbers from.
struct Pair {
    heads: Heads,
    both: [LayerCache; 2],
    dice: StdRng,
}

impl Pair {
    fn new(heads: Heads, seed: u64) -> Self {
        let both = [Backend::Kernels, Backend::TensorOps].map(|backend| fresh(backend, heads));
        Self {
            heads,
            both,
            dice: StdRng::seed_from_u64(seed),
        }
    }

    fn rows(&mut self, rows: usize, heads: usize) -> Tensor {
        let shape = (rows, heads * self.heads.dim);
        let numbers = (0..rows * shape.1).map(|_| self.dice.random_range(-1f32..1.0));
        Tensor::from_iter(numbers, &Device::Cpu)
            .and_then(|numbers| numbers.reshape(shape))
            .expect("numbers")
    }

    /// Computes a step, and compares what both mix.
    fn step(&mut self, chunks: &[Chunk<'_>]) {
        let count = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
        let (keys, values) = (
            self.rows(count, self.heads.keys),
            self.rows(count, self.heads.keys),
        );
        let queries = self.rows(count, self.heads.queries);
        let mixed = self.both.each_ref().map(|cache| {
            let places = Places::of(chunks, SIZE).expect("places");
            cache.write(&keys, &values, &places).expect("written");
            let mixed = cache.attend(&queries, self.heads, &places);
            mixed.expect("mixed").to_vec2::<f32>().expect("rows")
        });
        let [kernels, tensor_ops] = mixed;
        assert_eq!((kernels.len(), tensor_ops.len()), (count, count));
        for (row, (kernels, tensor_ops)) in kernels.iter().zip(&tensor_ops).enumerate() {
            assert_eq!(kernels.len(), tensor_ops.len());
            let apart = kernels.iter().zip(tensor_ops).map(|(a, b)| (a - b).abs());
            let far = apart.fold(0f32, |most, apart| match apart.is_nan() {
                true => f32::INFINITY,
                false => most.max(apart),
            });
            assert!(far < TOLERANCE, "row {row} of {count} is {far} apart");
        }
    }
}

fn fresh(backend: Backend, heads: Heads) -> LayerCache {
    let cache = LayerCache::new(backend, SIZE, heads.keys, heads.dim, &Device::Cpu);
    cache.expect("a cache")
}

fn heads(queries: usize, keys: usize, dim: usize, sight: Sight) -> Heads {
    Heads {
        queries,
        keys,
        dim,
        scale: (dim as f32).powf(-0.5),
        sight,
    }
}

fn chunk<'a>(position: usize, tokens: &'a [u32], blocks: &'a [u32]) -> Chunk<'a> {
    Chunk {
        tokens,
        position,
        blocks,
        writes: false,
    }
}

const BEFORE: Sight = Sight::Before { window: None };

#[test]
fn sequences_that_join_and_leave_and_share_blocks() {
    let ids = [0; 64];
    let tables: [&[u32]; 3] = [&[2, 0, 5, 9], &[2, 0, 7, 8], &[23]];
    for window in [None, Some(1), Some(5), Some(16), Some(40)] {
        let mut pair = Pair::new(heads(6, 2, 20, Sight::Before { window }), 1);
        pair.step(&[
            chunk(0, &ids[..33], tables[0]),
            chunk(0, &ids[..1], tables[2]),
        ]);
        // The second goes on from two blocks of the first, up to a border of blocks.
        pair.step(&[
            chunk(33, &ids[..1], tables[0]),
            chunk(32, &ids[..16], tables[1]),
            chunk(1, &ids[..15], tables[2]),
        ]);
        for at in 34..64 {
            pair.step(
                &[
                    chunk(at + 14, &ids[..1], tables[1]),
                    chunk(at, &ids[..1], tables[0]),
                ][usize::from(at > 49)..],
            );
        }
    }
}

#[test]
fn a_chunk_and_the_one_that_goes_on_from_it_are_of_one_step() {
    let ids = [0; 32];
    let table = [4, 1, 3];
    let mut pair = Pair::new(heads(4, 4, 8, BEFORE), 2);
    let parts = [chunk(0, &ids[..20], &table), chunk(20, &ids[..12], &table)];
    pair.step(&parts);
    let mut pair = Pair::new(heads(4, 1, 8, Sight::Whole), 3);
    pair.step(&parts);
}

#[test]
fn what_is_left_of_others_in_a_block_is_not_seen() {
    let ids = [0; 16];
    let mut pair = Pair::new(heads(2, 1, 4, BEFORE), 4);
    pair.step(&[chunk(0, &ids, &[6]), chunk(0, &ids, &[7])]);
    pair.step(&[chunk(0, &ids[..3], &[7]), chunk(0, &ids[..1], &[6])]);
    pair.step(&[chunk(3, &ids[..1], &[7]), chunk(1, &ids[..1], &[6])]);
}

#[test]
fn more_than_is_computed_at_once_is_cut() {
    let ids = [0; 100];
    let tables: [Vec<u32>; 3] = [0, 8, 16].map(|first| (first..first + 7).collect());
    for sight in [BEFORE, Sight::Whole, Sight::Before { window: Some(20) }] {
        let mut pair = Pair::new(heads(4, 2, 8, sight), 5);
        let [_, LayerCache::TensorOps(cache)] = pair.both else {
            panic!("another order");
        };
        let limits = tensor_ops::Limits {
            scores: 4000,
            gathered: 2000,
        };
        let limited = LayerCache::TensorOps(cache.limited(limits));
        pair.both = [fresh(Backend::Kernels, pair.heads), limited];
        pair.step(&tables.each_ref().map(|table| chunk(0, &ids[..99], table)));
        pair.step(&tables.each_ref().map(|table| chunk(99, &ids[..1], table)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_step_is_mixed_the_same(
        (group, keys, dim) in (1usize..4, 1usize..4, 1usize..5),
        sight in prop_oneof![
            Just(Sight::Whole),
            Just(BEFORE),
            (1usize..70).prop_map(|window| Sight::Before { window: Some(window) }),
        ],
        lengths in prop::collection::vec((0usize..40, 1usize..50), 1..4),
        seed: u64,
    ) {
        let ids = [0; 64];
        let tables: Vec<Vec<u32>> = (0..3).map(|at| (8 * at..8 * at + 8).rev().collect()).collect();
        let mut pair = Pair::new(heads(group * keys, keys, 4 * dim, sight), seed);
        let sequences = lengths.iter().zip(&tables);
        let prompts = sequences.clone().filter(|((first, _), _)| *first > 0);
        let prompts: Vec<_> = prompts.map(|((first, _), table)| chunk(0, &ids[..*first], table)).collect();
        if !prompts.is_empty() {
            pair.step(&prompts);
        }
        let rest = sequences.map(|((first, next), table)| chunk(*first, &ids[..*next], table));
        pair.step(&rest.collect::<Vec<_>>());
    }
}
