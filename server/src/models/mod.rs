//! What computes: encoders by family and one decoder for all families, behind two small interfaces that the
//! engines drive.

pub(crate) mod activation;
pub(crate) mod bert;
mod cache;
pub(crate) mod classifier;
pub(crate) mod decoder;
pub(crate) mod linear;
pub(crate) mod matrix;
pub(crate) mod norm;
pub(crate) mod registry;
mod rows;

use candle_core::{CpuStorage, Layout, Result, Tensor, bail};

pub(crate) use cache::Backend;
pub use cache::CacheSize;

/// An encoder that turns token ids into one vector a text. A classifier's has a number for each label.
pub trait Embedder: Send {
    /// Longest input in tokens, special tokens included.
    fn max_tokens(&self) -> usize;
    /// Length of every vector.
    fn dimensions(&self) -> usize;
    /// One vector for each sequence of token ids, in the same order, pooled and normalised as
    /// the model's own configuration says. `batch` may hold sequences of different lengths.
    ///
    /// # Errors
    /// What candle reports.
    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>>;
}

/// Tokens of one sequence that a step computes.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// Of the first of them, from 0.
    pub position: usize,
    /// Blocks of the cache, in the order of the sequence's tokens. They hold what is before `position`, and
    /// have room for `tokens`.
    pub blocks: &'a [u32],
    /// Whether the logits after its last token are wanted.
    pub writes: bool,
}

/// A decoder that predicts the next tokens of several sequences.
pub trait CausalLm: Send {
    /// Longest sequence in tokens, prompt and answer together.
    fn context(&self) -> usize;
    /// Its cache of keys and values.
    fn cache(&self) -> CacheSize;
    /// Most tokens of prompts that a step may have, for the memory that they take on their way.
    fn step_tokens(&self) -> usize;
    /// Computes a step, and gives the logits after the last token of each chunk that writes, in order:
    /// shape `(chunks that write, vocab)`, f32. Chunks that share blocks may be of one step: in each layer
    /// all keys and values are written before any is read.
    ///
    /// # Errors
    /// What candle reports. What the blocks of these chunks hold is not known then.
    fn forward(&mut self, chunks: &[Chunk<'_>]) -> Result<Tensor>;
}

/// The numbers of a contiguous tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(&all[from..to]),
        _ => bail!("f32 without gaps is asked for"),
    }
}
