//! Keys and values in blocks whose tokens lie side by side, and attention by our own kernels, on the processor.

use candle_core::{CpuStorage, CustomOp3, Device, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use chandler_kernels::{Attention, HeadCache, LANES, Query};
use rayon::prelude::*;

use super::{CacheSize, Heads, Place, Places};
use crate::models::{floats, rows};

/// Keys and values of one layer.
pub(in crate::models) struct BlockCache {
    /// `(blocks, kv_heads, head_dim, block_tokens)`: the tokens of a block side by side, so that their scores are
    /// computed together.
    keys: Tensor,
    /// `(blocks, kv_heads, block_tokens, head_dim)`.
    values: Tensor,
}

impl BlockCache {
    /// Room for all blocks, of so many heads of so many numbers. All of it is written once, so that the
    /// system gives the memory now or not at all: what is full later is no larger than what is empty.
    ///
    /// # Errors
    /// What candle reports, and blocks of no multiple of 16 tokens.
    pub(super) fn new(size: CacheSize, heads: usize, dim: usize, device: &Device) -> Result<Self> {
        let tokens = size.block_tokens;
        if !tokens.is_multiple_of(LANES) {
            bail!("a block of {tokens} tokens is no multiple of {LANES}");
        }
        let blocks = size.blocks as usize;
        let empty = |shape: (usize, usize, usize, usize)| Tensor::full(0f32, shape, device);
        Ok(Self {
            keys: empty((blocks, heads, dim, tokens))?,
            values: empty((blocks, heads, tokens, dim))?,
        })
    }

    /// Writes the keys and values of a step's rows, each `(rows, kv_heads · head_dim)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn write(&self, keys: &Tensor, values: &Tensor, places: &Places<'_>) -> Result<()> {
        let (_, heads, dim, _) = self.keys.dims4()?;
        let write = |across| Write {
            places,
            heads,
            dim,
            across,
        };
        self.keys.inplace_op2(keys, &write(true))?;
        self.values.inplace_op2(values, &write(false))
    }

    /// As [`super::LayerCache::attend`].
    pub(super) fn attend(
        &self,
        queries: &Tensor,
        heads: Heads,
        places: &Places<'_>,
    ) -> Result<Tensor> {
        let attend = Attend { heads, places };
        queries.apply_op3_no_bwd(&self.keys, &self.values, &attend)
    }
}

struct Write<'a> {
    places: &'a Places<'a>,
    heads: usize,
    dim: usize,
    /// Whether the tokens of a block lie side by side.
    across: bool,
}

/// Where a row is written.
pub(super) struct Written {
    block: usize,
    slot: usize,
    row: usize,
}

/// Numbers that are sooner written by one thread than another is woken.
const ALONE: usize = 16 * 1024;

/// Where the rows of a step are written, in the order of the blocks.
fn by_block(places: &Places<'_>) -> Vec<Written> {
    let tokens = places.block_tokens;
    let rows = places.rows.iter().enumerate();
    let rows = rows.map(|(row, place)| Written {
        block: place.block(tokens) as usize,
        slot: place.position % tokens,
        row,
    });
    let mut rows: Vec<Written> = rows.collect();
    rows.sort_unstable_by_key(|row| row.block);
    rows
}

/// Writes one head of the token at `slot` of its block, `across` so many tokens that lie side by side in it.
fn write_head(numbers: &[f32], slot: usize, block: &mut [f32], across: Option<usize>) {
    match across {
        Some(tokens) => {
            let places = block[slot..].iter_mut().step_by(tokens);
            for (place, number) in places.zip(numbers) {
                *place = *number;
            }
        }
        None => block[slot * numbers.len()..][..numbers.len()].copy_from_slice(numbers),
    }
}

/// The blocks of so many numbers that `rows` are written to, each with these rows.
fn split<'c, 'r>(
    mut cache: &'c mut [f32],
    length: usize,
    rows: &'r [Written],
) -> Vec<(&'c mut [f32], &'r [Written])> {
    let mut blocks = Vec::new();
    let mut next = 0;
    for rows in rows.chunk_by(|one, other| one.block == other.block) {
        let (_, rest) = cache.split_at_mut((rows[0].block - next) * length);
        let (block, rest) = rest.split_at_mut(length);
        blocks.push((block, rows));
        (cache, next) = (rest, rows[0].block + 1);
    }
    blocks
}

impl InplaceOp2 for Write<'_> {
    fn name(&self) -> &'static str {
        "write-rows"
    }

    fn cpu_fwd(
        &self,
        cache: &mut CpuStorage,
        cache_layout: &Layout,
        rows: &CpuStorage,
        rows_layout: &Layout,
    ) -> Result<()> {
        let rows = floats(rows, rows_layout)?;
        let CpuStorage::F32(cache) = cache else {
            bail!("the cache holds no f32");
        };
        if cache_layout.start_offset() != 0 {
            bail!("the cache begins elsewhere");
        }
        let tokens = self.places.block_tokens;
        let (width, length) = (self.heads * self.dim, self.dim * tokens);
        let (dim, across) = (self.dim, self.across);
        let write = |(block, written): (&mut [f32], &[Written])| {
            for Written { slot, row, .. } in written {
                let numbers = rows[row * width..][..width].chunks_exact(dim);
                for (numbers, block) in numbers.zip(block.chunks_exact_mut(length)) {
                    write_head(numbers, *slot, block, across.then_some(tokens));
                }
            }
        };
        let rows = self.places.written.get_or_init(|| by_block(self.places));
        let blocks = split(cache, self.heads * length, rows);
        match rows.len() * width {
            ..ALONE => blocks.into_iter().for_each(write),
            _ => blocks.into_par_iter().for_each(write),
        }
        Ok(())
    }
}

struct Attend<'a> {
    heads: Heads,
    places: &'a Places<'a>,
}

/// Rows of a chunk whose attention is one task: what they read of the cache stays in the second cache for all of them.
const TASK_ROWS: usize = 24;

/// Rows of one chunk that lie next to each other, a few at a time.
fn runs<'p, 'a>(places: &'p Places<'a>) -> impl Iterator<Item = &'p [Place<'a>]> {
    places.chunks().flat_map(|rows| rows.chunks(TASK_ROWS))
}

/// The rows of one sequence, to one head of its keys and values.
struct Task<'a> {
    queries: Vec<Query<'a>>,
    head: usize,
    blocks: &'a [u32],
}

impl<'a> Attend<'a> {
    /// All there is to do. Neighbouring rows of a sequence are together, since they see almost the same.
    fn tasks(&self, queries: &'a [f32], mixed: &'a mut [f32]) -> Vec<Task<'a>>
    where
        Self: 'a,
    {
        let Heads { dim, keys, .. } = self.heads;
        let group = self.heads.queries / keys;
        let width = self.heads.queries * dim;
        let mut tasks = Vec::new();
        let (mut queries, mut mixed) = (queries.chunks_exact(width), mixed.chunks_exact_mut(width));
        for rows in runs(self.places) {
            let first = tasks.len();
            tasks.extend((0..keys).map(|head| Task {
                queries: Vec::with_capacity(rows.len() * group),
                head,
                blocks: rows[0].blocks,
            }));
            for ((place, queries), mixed) in rows.iter().zip(&mut queries).zip(&mut mixed) {
                let heads = queries.chunks_exact(dim).zip(mixed.chunks_exact_mut(dim));
                let (seen, end) = self.heads.sight.range(place);
                for (at, (query, mixed)) in heads.enumerate() {
                    tasks[first + at / group].queries.push(Query {
                        query,
                        first: seen,
                        end,
                        mixed,
                    });
                }
            }
        }
        tasks
    }
}

impl CustomOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend-blocks"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let queries = floats(queries, queries_layout)?;
        let keys = floats(keys, keys_layout)?;
        let values = floats(values, values_layout)?;
        let mut mixed = rows::zeros(queries.len());
        let tasks = self.tasks(queries, &mut mixed);
        let (heads, block_tokens) = (self.heads, self.places.block_tokens);
        tasks.into_par_iter().for_each(|mut task| {
            let attention = Attention {
                queries: &mut task.queries,
                cache: HeadCache {
                    keys,
                    values,
                    heads: heads.keys,
                    head: task.head,
                    dim: heads.dim,
                    block_tokens,
                },
                blocks: task.blocks,
                scale: heads.scale,
            };
            attention.attend();
        });
        Ok((CpuStorage::F32(mixed), queries_layout.shape().clone()))
    }
}
