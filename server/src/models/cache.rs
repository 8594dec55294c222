//! Keys and values of all sequences of one layer, in blocks that are made room for once and written in
//! place, and the attention that reads them where they lie.

use candle_core::{
    CpuStorage, CustomOp3, DType, Device, InplaceOp2, Layout, Result, Shape, Tensor, bail,
};
use pulp::Arch;
use rayon::prelude::*;

use super::attention::Attention;
use super::{Chunk, floats};

/// How a cache is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// Blocks that there are.
    pub blocks: u32,
    /// Tokens of a block.
    pub block_tokens: usize,
}

impl CacheSize {
    /// Tokens in all blocks.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.blocks as usize * self.block_tokens
    }
}

/// Where the rows of a step lie: row by row the tokens of its chunks, one chunk after the other.
pub(super) struct Places<'a> {
    block_tokens: usize,
    rows: Vec<Place<'a>>,
}

struct Place<'a> {
    position: usize,
    blocks: &'a [u32],
}

impl Place<'_> {
    /// The row of the cache.
    fn slot(&self, block_tokens: usize) -> usize {
        let block = self.blocks[self.position / block_tokens] as usize;
        block * block_tokens + self.position % block_tokens
    }
}

impl<'a> Places<'a> {
    /// Of these chunks.
    ///
    /// # Errors
    /// A chunk has too few blocks, or one that is not there.
    pub(super) fn of(chunks: &[Chunk<'a>], size: CacheSize) -> Result<Self> {
        let mut rows = Vec::new();
        for chunk in chunks {
            let end = chunk.position + chunk.tokens.len();
            let Some(blocks) = chunk.blocks.get(..end.div_ceil(size.block_tokens)) else {
                bail!("{} blocks do not hold {end} tokens", chunk.blocks.len());
            };
            if let Some(block) = blocks.iter().find(|block| **block >= size.blocks) {
                bail!("block {block} is beyond the {} there are", size.blocks);
            }
            rows.extend((chunk.position..end).map(|position| Place { position, blocks }));
        }
        Ok(Self {
            block_tokens: size.block_tokens,
            rows,
        })
    }

    /// Positions in their sequences.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.position)
    }
}

/// Keys and values of one layer, each `(tokens, kv_heads · head_dim)`.
pub(super) struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

/// The heads of an attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) queries: usize,
    /// Divides `queries`.
    pub(super) keys: usize,
    pub(super) dim: usize,
    /// Multiplies products of queries and keys.
    pub(super) scale: f32,
    /// Tokens that one sees at most, itself the last.
    pub(super) window: Option<usize>,
}

impl Heads {
    /// The first token that the one at `position` sees.
    fn first(self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

impl LayerCache {
    /// Room for all blocks. The system gives the memory when it is first written.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn new(size: CacheSize, width: usize, device: &Device) -> Result<Self> {
        let empty = || Tensor::zeros((size.tokens(), width), DType::F32, device);
        Ok(Self {
            keys: empty()?,
            values: empty()?,
        })
    }

    /// Writes the keys and values of a step's rows, each `(rows, kv_heads · head_dim)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn write(&self, keys: &Tensor, values: &Tensor, places: &Places<'_>) -> Result<()> {
        self.keys.inplace_op2(keys, &Write(places))?;
        self.values.inplace_op2(values, &Write(places))
    }

    /// What each row of `queries`, `(rows, heads · head_dim)`, mixes from the values of its sequence up to
    /// itself, or from the last of them where there is a window; of the same shape.
    ///
    /// # Errors
    /// What candle reports.
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

struct Write<'a>(&'a Places<'a>);

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
        let Places {
            block_tokens,
            rows: places,
        } = self.0;
        let width = rows.len() / places.len().max(1);
        for (row, place) in rows.chunks_exact(width.max(1)).zip(places) {
            let at = place.slot(*block_tokens) * width;
            cache[at..at + width].copy_from_slice(row);
        }
        Ok(())
    }
}

struct Attend<'a> {
    heads: Heads,
    places: &'a Places<'a>,
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
        let Heads { dim, scale, .. } = self.heads;
        let group = self.heads.queries / self.heads.keys * dim;
        let mut mixed = vec![0f32; queries.len()];
        let parts = mixed.par_chunks_mut(group).zip(queries.par_chunks(group));
        let arch = Arch::new();
        parts.enumerate().for_each(|(part, (mixed, queries))| {
            let (row, head) = (part / self.heads.keys, part % self.heads.keys);
            let place = &self.places.rows[row];
            let first = self.heads.first(place.position);
            arch.dispatch(Attention {
                queries,
                keys,
                values,
                width: self.heads.keys * dim,
                offset: head * dim,
                dim,
                first,
                seen: place.position + 1 - first,
                blocks: place.blocks,
                block_tokens: self.places.block_tokens,
                scale,
                mixed,
            });
        });
        Ok((CpuStorage::F32(mixed), queries_layout.shape().clone()))
    }
}
