//! How a step attends: which rows are computed together, what they read, and what of it they see.

use std::cmp::Reverse;

use candle_core::{DType, Device, Result, Tensor};

use crate::models::cache::{Heads, Place, Places};

/// What is computed at once, at most.
#[derive(Clone, Copy)]
pub(in crate::models) struct Limits {
    /// Scores, but for those of one token.
    pub(in crate::models) scores: usize,
    /// Numbers of keys, but for those of one sequence.
    pub(in crate::models) gathered: usize,
}

impl Default for Limits {
    /// 256 MiB of each.
    fn default() -> Self {
        Self {
            scores: 1 << 26,
            gathered: 1 << 26,
        }
    }
}

/// Added to the scores of tokens that one doesn't see: their weights become 0, and nothing becomes infinite.
const UNSEEN: f64 = -1e30;

/// How a step attends.
pub(super) struct Plan {
    pub(super) batches: Vec<Batch>,
    /// Which row of the batches' results is that of each row of the step; `None` where they are in order.
    pub(super) order: Option<Tensor>,
}

/// Rows of several sequences, padded to the same number and to the same number of tokens.
pub(super) struct Batch {
    pub(super) sequences: usize,
    /// Of each sequence.
    pub(super) rows: usize,
    /// Of each sequence.
    pub(super) tokens: usize,
    /// The rows of the step, `(sequences · rows)`; `None` for all of them in order.
    pub(super) queries: Option<Tensor>,
    /// The heads of keys and values, as rows of one head each: `(sequences · kv_heads · tokens)`.
    pub(super) cached: Tensor,
    /// What is added to scores, `(sequences, 1, rows, 1, tokens)`.
    pub(super) unseen: Tensor,
}

/// Rows of one chunk, of which all scores fit into the limits.
struct Piece<'p, 'a> {
    rows: &'p [Place<'a>],
    /// The first of them, as a row of the step.
    start: usize,
    /// The blocks that any of them sees.
    blocks: &'a [u32],
    /// The position of the first token of these blocks.
    base: usize,
}

/// Rows as a tensor, unless they are all in order.
fn selection(rows: Vec<u32>, all: usize, device: &Device) -> Result<Option<Tensor>> {
    if rows.len() == all && rows.iter().copied().eq(0..all as u32) {
        return Ok(None);
    }
    Tensor::new(rows, device).map(Some)
}

impl Plan {
    /// Of a step over these places.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn new(
        places: &Places<'_>,
        heads: Heads,
        limits: Limits,
        device: &Device,
    ) -> Result<Self> {
        let pieces = pieces(places, heads, limits);
        let (all, tokens) = (places.rows.len(), places.block_tokens);
        let mut batches = Vec::new();
        let mut order = vec![0; all];
        let mut at = 0;
        for pieces in groups(&pieces, heads, limits, tokens) {
            let batch = Batch::new(pieces, heads, tokens, all, device)?;
            for piece in pieces {
                let rows = order[piece.start..].iter_mut().take(piece.rows.len());
                rows.zip(at..).for_each(|(place, at)| *place = at);
                at += batch.rows as u32;
            }
            batches.push(batch);
        }
        let order = selection(order, at as usize, device)?;
        Ok(Self { batches, order })
    }
}

/// All rows of a step: those of each chunk together, as far as there is room for their scores.
fn pieces<'p, 'a>(places: &'p Places<'a>, heads: Heads, limits: Limits) -> Vec<Piece<'p, 'a>> {
    let tokens = places.block_tokens;
    let mut pieces = Vec::new();
    let mut start = 0;
    for rows in places.chunks() {
        let longest = rows.iter().map(|row| row.end).max().unwrap_or(0);
        let most = limits.scores / (heads.queries * longest.next_multiple_of(tokens)).max(1);
        for rows in rows.chunks(most.max(1)) {
            let ranges = rows.iter().map(|row| heads.sight.range(row));
            let first = ranges.clone().map(|(first, _)| first).min().unwrap_or(0) / tokens;
            let end = ranges.map(|(_, end)| end).max().unwrap_or(0);
            pieces.push(Piece {
                rows,
                start,
                blocks: &rows[0].blocks[first..end.div_ceil(tokens)],
                base: first * tokens,
            });
            start += rows.len();
        }
    }
    // Those that are padded to the same length stand next to each other.
    pieces.sort_by_key(|piece| Reverse((piece.class(), piece.blocks.len())));
    pieces
}

impl Piece<'_, '_> {
    /// Pieces of one class are padded to at most twice their rows and tokens.
    fn class(&self) -> (usize, usize) {
        let class = |n: usize| n.next_power_of_two();
        (class(self.rows.len()), class(self.blocks.len()))
    }
}

/// Pieces that are computed together.
fn groups<'p, 'a, 'b>(
    pieces: &'b [Piece<'p, 'a>],
    heads: Heads,
    limits: Limits,
    block_tokens: usize,
) -> impl Iterator<Item = &'b [Piece<'p, 'a>]> {
    let classes = pieces.chunk_by(|one, next| one.class() == next.class());
    classes.flat_map(move |pieces| {
        let (rows, blocks) = pieces[0].class();
        let tokens = blocks * block_tokens;
        let scores = limits.scores / (heads.queries * rows * tokens).max(1);
        let gathered = limits.gathered / (heads.keys * heads.dim * tokens).max(1);
        pieces.chunks(scores.min(gathered).max(1))
    })
}

impl Batch {
    /// The batch of these pieces, of a step of `all` rows.
    fn new(
        pieces: &[Piece<'_, '_>],
        heads: Heads,
        block_tokens: usize,
        all: usize,
        device: &Device,
    ) -> Result<Self> {
        let sequences = pieces.len();
        let rows = pieces.iter().map(|piece| piece.rows.len()).max();
        let blocks = pieces.iter().map(|piece| piece.blocks.len()).max();
        let (rows, blocks) = (rows.unwrap_or(0), blocks.unwrap_or(0));
        let tokens = blocks * block_tokens;
        let mut queries = Vec::with_capacity(sequences * rows);
        let mut bounds = [Vec::new(), Vec::new()];
        let mut slots = Vec::with_capacity(sequences * tokens);
        for piece in pieces {
            for row in (0..rows).map(|row| row.min(piece.rows.len() - 1)) {
                let (first, end) = heads.sight.range(&piece.rows[row]);
                queries.push((piece.start + row) as u32);
                bounds[0].push(first.saturating_sub(piece.base) as u32);
                bounds[1].push((end - piece.base) as u32);
            }
            // Padded with a block of its own: what is read of it is finite, and weighs nothing.
            for block in (0..blocks).map(|at| piece.blocks[at.min(piece.blocks.len() - 1)]) {
                let first = block * block_tokens as u32;
                slots.extend((first..).take(block_tokens));
            }
        }
        let bounds = bounds.map(|bounds| Tensor::from_vec(bounds, (sequences, rows, 1), device));
        let slots = Tensor::from_vec(slots, (sequences, 1, tokens), device)?;
        Ok(Self {
            sequences,
            rows,
            tokens,
            queries: selection(queries, all, device)?,
            cached: by_head(&slots, heads.keys)?,
            unseen: unseen(bounds, tokens)?.reshape((sequences, 1, rows, 1, tokens))?,
        })
    }
}

/// The rows of the cache at `slots`, `(sequences, 1, tokens)`, cut into heads: `(sequences · heads · tokens)`.
fn by_head(slots: &Tensor, heads: usize) -> Result<Tensor> {
    let device = slots.device();
    let each = Tensor::arange(0, heads as u32, device)?.reshape((1, heads, 1))?;
    let count = Tensor::full(heads as u32, (1, 1, 1), device)?;
    let first = slots.broadcast_mul(&count)?;
    first.broadcast_add(&each)?.flatten_all()
}

/// 0 for those of `tokens` tokens that lie from the first bound to before the second, [`UNSEEN`] for others; bounds are
/// `(sequences, rows, 1)`, the result `(sequences, rows, tokens)`.
fn unseen(bounds: [Result<Tensor>; 2], tokens: usize) -> Result<Tensor> {
    let [first, end] = bounds;
    let (first, end) = (first?, end?);
    let tokens = Tensor::arange(0, tokens as u32, first.device())?.reshape((1, 1, ()))?;
    let not_before = tokens.broadcast_ge(&first)?.to_dtype(DType::F32)?;
    let before_end = tokens.broadcast_lt(&end)?.to_dtype(DType::F32)?;
    (not_before * before_end)?.affine(-UNSEEN, UNSEEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Chunk;
    use crate::models::cache::{CacheSize, Sight};

    const HEADS: Heads = Heads {
        queries: 2,
        keys: 1,
        dim: 4,
        scale: 1.0,
        sight: Sight::Before { window: Some(100) },
    };
    const SIZE: CacheSize = CacheSize {
        blocks: 64,
        block_tokens: 16,
    };

    /// Of each piece its first row, its rows, and the blocks that it reads.
    fn cut(chunks: &[Chunk<'_>], limits: Limits) -> Vec<(usize, usize, usize)> {
        let places = Places::of(chunks, SIZE).expect("places");
        let pieces = pieces(&places, HEADS, limits);
        let cut = pieces.iter();
        cut.map(|it| (it.start, it.rows.len(), it.blocks.len()))
            .collect()
    }

    fn chunk<'a>(position: usize, tokens: &'a [u32], blocks: &'a [u32]) -> Chunk<'a> {
        Chunk {
            tokens,
            position,
            blocks,
            writes: false,
        }
    }

    #[test]
    fn a_long_chunk_is_cut_and_reads_no_block_before_its_window() {
        let table: Vec<u32> = (0..19).collect();
        let chunks = [chunk(0, &[0; 300], &table)];
        assert_eq!(cut(&chunks, Limits::default()), [(0, 300, 19)]);
        // Of 304 tokens and two heads.
        let limits = Limits {
            scores: 130 * 608,
            ..Limits::default()
        };
        assert_eq!(
            cut(&chunks, limits),
            [(130, 130, 16), (0, 130, 9), (260, 40, 9)]
        );
    }

    #[test]
    fn sequences_of_about_one_length_are_computed_together() {
        let table: Vec<u32> = (0..19).collect();
        let last = |at| chunk(at, &[0; 1], &table);
        let chunks = [
            last(10),
            last(90),
            chunk(0, &[0; 9], &table),
            last(70),
            last(110),
        ];
        let places = Places::of(&chunks, SIZE).expect("places");
        let counts = |limits| {
            let plan = Plan::new(&places, HEADS, limits, &Device::Cpu).expect("a plan");
            let batches = plan.batches.iter();
            batches
                .map(|it| (it.sequences, it.rows, it.tokens))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            counts(Limits::default()),
            [(1, 9, 16), (3, 1, 112), (1, 1, 16)]
        );
        // Keys of two sequences, padded to the class of 8 blocks.
        let limits = Limits {
            gathered: 2 * 4 * 128,
            ..Limits::default()
        };
        assert_eq!(
            counts(limits),
            [(1, 9, 16), (2, 1, 112), (1, 1, 80), (1, 1, 16)]
        );
    }
}
