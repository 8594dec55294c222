//! What a schedule is told, and what it gives.

use std::ops::Range;

use super::{CallerId, SequenceId};

/// What bounds all steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most sequences that are in the cache at a time.
    pub(crate) sequences: usize,
    /// Blocks of the cache.
    pub(crate) blocks: u32,
    /// Tokens of a block.
    pub(crate) block_tokens: usize,
}

/// A sequence that is to go on from a prompt.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) caller: CallerId,
    /// The smaller goes first.
    pub(crate) priority: i32,
    /// At least one token, and with all that is to be written no more than the cache holds.
    pub(crate) prompt: Vec<u32>,
    /// Whether the logits after each of its tokens are wanted, so that nothing of it may be left out as known.
    pub(crate) scored: bool,
}

/// Tokens of one sequence that a step computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) id: SequenceId,
    /// Positions in the sequence.
    pub(crate) positions: Range<usize>,
    /// True where a token follows the last one: all tokens before it are computed.
    pub(crate) writes: bool,
    /// Whether the logits after each of its tokens are wanted.
    pub(crate) scored: bool,
}

impl Chunk {
    /// After how many of its tokens the logits are wanted.
    pub(crate) fn logits(&self) -> usize {
        match (self.scored, self.writes) {
            (true, _) => self.positions.len(),
            (false, writes) => usize::from(writes),
        }
    }
}

/// What a step computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) chunks: Vec<Chunk>,
    /// Sequences that lost their blocks.
    pub(crate) taken_back: Vec<SequenceId>,
}
