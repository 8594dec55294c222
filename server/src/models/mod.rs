//! One file a model family, behind two small interfaces that the engines drive.

pub(crate) mod bert;
mod gelu;
pub(crate) mod llama;
pub(crate) mod registry;

use candle_core::{Result, Tensor};

/// An encoder that turns token ids into one vector a text.
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

/// A decoder that predicts the next token of one sequence.
pub trait CausalLm: Send {
    /// Longest sequence in tokens, prompt and answer together.
    fn context(&self) -> usize;
    /// Feeds `tokens`, the first of them at `position`, and gives the logits after the last one,
    /// shape `(vocab,)`, f32. Position 0 forgets whatever came before.
    ///
    /// # Errors
    /// What candle reports.
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Tensor>;
}
