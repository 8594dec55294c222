//! Keys and values of all sequences of one layer, in blocks that are made room for once and written in
//! place, and the attention that reads them where they lie.

mod kernels;
mod tensor_ops;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use candle_core::{Device, Result, Tensor, bail};

use super::Chunk;

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

/// Whose code computes what candle leaves room to choose for: attention, and products with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Our own, which are for processors.
    Kernels,
    /// candle's tensor operations, which all of its devices have.
    TensorOps,
}

impl Backend {
    /// What is fastest on a device.
    pub(crate) fn of(device: &Device) -> Self {
        match device.is_cpu() {
            true => Self::Kernels,
            false => Self::TensorOps,
        }
    }
}

/// Where the rows of a step lie: row by row the tokens of its chunks, one chunk after the other.
pub(super) struct Places<'a> {
    block_tokens: usize,
    rows: Vec<Place<'a>>,
    /// Where they are written, alike in all layers; and the places as tensors, where they are asked for.
    written: OnceLock<Vec<kernels::Written>>,
    tensors: tensor_ops::StepTensors,
}

struct Place<'a> {
    position: usize,
    /// Where its chunk ends.
    end: usize,
    blocks: &'a [u32],
}

impl Place<'_> {
    /// The block that it lies in.
    fn block(&self, block_tokens: usize) -> u32 {
        self.blocks[self.position / block_tokens]
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
            rows.extend((chunk.position..end).map(|position| Place {
                position,
                end,
                blocks,
            }));
        }
        Ok(Self {
            block_tokens: size.block_tokens,
            rows,
            written: OnceLock::new(),
            tensors: tensor_ops::StepTensors::default(),
        })
    }

    /// The rows of each chunk. Those of chunks that go on from each other may be one.
    fn chunks(&self) -> impl Iterator<Item = &[Place<'a>]> {
        self.rows.chunk_by(|one, next| {
            std::ptr::eq(one.blocks, next.blocks) && one.position + 1 == next.position
        })
    }

    /// Positions in their sequences.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.position)
    }
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
    pub(super) sight: Sight,
}

/// What a token sees of its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Itself and what is before it, of which the last `window` tokens where there is one.
    Before { window: Option<usize> },
    /// All that was computed until the end of its chunk.
    Whole,
}

impl Sight {
    /// The first token that one sees, and the one after the last.
    fn range(self, place: &Place<'_>) -> (usize, usize) {
        let own = place.position + 1;
        match self {
            Self::Before { window } => {
                let first = window.map_or(0, |window| own.saturating_sub(window));
                (first, own)
            }
            Self::Whole => (0, place.end),
        }
    }
}

/// Keys and values of one layer.
pub(super) enum LayerCache {
    Kernels(kernels::BlockCache),
    TensorOps(tensor_ops::RowCache),
}

impl LayerCache {
    /// Room for all blocks, of so many heads of so many numbers.
    ///
    /// # Errors
    /// What candle reports, and a size that the backend can't have.
    pub(super) fn new(
        backend: Backend,
        size: CacheSize,
        heads: usize,
        dim: usize,
        device: &Device,
    ) -> Result<Self> {
        Ok(match backend {
            Backend::Kernels => Self::Kernels(kernels::BlockCache::new(size, heads, dim, device)?),
            Backend::TensorOps => {
                Self::TensorOps(tensor_ops::RowCache::new(size, heads, dim, device)?)
            }
        })
    }

    /// Writes the keys and values of a step's rows, each `(rows, kv_heads · head_dim)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn write(&self, keys: &Tensor, values: &Tensor, places: &Places<'_>) -> Result<()> {
        match self {
            Self::Kernels(cache) => cache.write(keys, values, places),
            Self::TensorOps(cache) => cache.write(keys, values, places),
        }
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
        match self {
            Self::Kernels(cache) => cache.attend(queries, heads, places),
            Self::TensorOps(cache) => cache.attend(queries, heads, places),
        }
    }
}
