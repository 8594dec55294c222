//! BERT encoders with pooling, in f32.
//!
//! Sequences lie end to end without padding: the linear layers see one matrix of all tokens, and
//! attention runs once for each run of sequences of equal length. So nothing is computed for
//! padding, and nothing needs a mask.

use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use super::Embedder;
use super::activation::Activation;
use crate::load::Pooling;

/// Tokens computed at once: more would not fit the caches of a processor.
const CHUNK: usize = 1024;

/// A matrix `(in, out)` and a bias `(out)`.
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// Scale and shift of a layer normalisation.
pub(crate) struct Norm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) eps: f32,
}

/// Weights of one layer.
pub(crate) struct BertLayer {
    /// Query, key and value side by side: `(hidden, 3 * hidden)`.
    pub(crate) query_key_value: Linear,
    pub(crate) attention_output: Linear,
    pub(crate) attention_norm: Norm,
    pub(crate) intermediate: Linear,
    pub(crate) output: Linear,
    pub(crate) output_norm: Norm,
}

/// A BERT encoder and what its sentence-transformers modules add.
pub(crate) struct Bert {
    /// `(vocab, hidden)`.
    pub(crate) words: Tensor,
    /// `(positions, hidden)`.
    pub(crate) positions: Tensor,
    /// The row of the first token type, `(hidden)`: every text here is a single segment.
    pub(crate) segment: Tensor,
    pub(crate) norm: Norm,
    pub(crate) layers: Vec<BertLayer>,
    pub(crate) heads: usize,
    pub(crate) hidden: usize,
    pub(crate) activation: Activation,
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    pub(crate) max_tokens: usize,
    pub(crate) device: Device,
}

/// Sequences of equal length that lie next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: usize,
    count: usize,
    length: usize,
}

impl Run {
    fn rows(&self) -> usize {
        self.count * self.length
    }
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

impl Bert {
    /// One row a sequence, `(sequences, hidden)`, for sequences that are sorted by length.
    fn encode(&self, sequences: &[&[u32]]) -> Result<Tensor> {
        let ids: Vec<u32> = sequences.concat();
        let positions: Vec<u32> = sequences
            .iter()
            .flat_map(|s| (0u32..).take(s.len()))
            .collect();
        let words = self
            .words
            .index_select(&Tensor::new(ids, &self.device)?, 0)?;
        let positions = Tensor::new(positions, &self.device)?;
        let places = self.positions.index_select(&positions, 0)?;
        let summed = (words + places)?.broadcast_add(&self.segment)?;
        let mut hidden = self.norm.forward(&summed)?;
        let runs = runs(sequences);
        for layer in &self.layers {
            hidden = self.layer(layer, &hidden, &runs)?;
        }
        let pooled = runs.iter().map(|run| self.pool(&hidden, run));
        Tensor::cat(&pooled.collect::<Result<Vec<_>>>()?, 0)
    }

    fn layer(&self, layer: &BertLayer, hidden: &Tensor, runs: &[Run]) -> Result<Tensor> {
        let projected = layer.query_key_value.forward(hidden)?;
        let mixed = runs.iter().map(|run| self.attention(&projected, run));
        let mixed = Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, 0)?;
        let attended = (layer.attention_output.forward(&mixed)? + hidden)?;
        let attended = layer.attention_norm.forward(&attended)?;
        let inner = layer.intermediate.forward(&attended)?;
        let inner = self.activation.forward(&inner)?;
        let output = (layer.output.forward(&inner)? + attended)?;
        layer.output_norm.forward(&output)
    }

    /// Attention within each sequence of `run`; `projected` holds query, key and value of all
    /// tokens, `(tokens, 3 * hidden)`.
    fn attention(&self, projected: &Tensor, run: &Run) -> Result<Tensor> {
        let head_dim = self.hidden / self.heads;
        let shape = (run.count, run.length, 3, self.heads, head_dim);
        let parts = projected
            .narrow(0, run.start, run.rows())?
            .reshape(shape)?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        let query = (parts.get(0)? * (head_dim as f64).powf(-0.5))?;
        let scores = query.matmul(&parts.get(1)?.t()?)?;
        softmax_last_dim(&scores)?
            .matmul(&parts.get(2)?)?
            .transpose(1, 2)?
            .reshape((run.rows(), self.hidden))
    }

    fn pool(&self, hidden: &Tensor, run: &Run) -> Result<Tensor> {
        let tokens = hidden.narrow(0, run.start, run.rows())?.reshape((
            run.count,
            run.length,
            self.hidden,
        ))?;
        let pooled = match self.pooling {
            Pooling::Mean => tokens.mean(1)?,
            Pooling::Cls => tokens.narrow(1, 0, 1)?.squeeze(1)?,
            Pooling::Max => tokens.max(1)?,
        };
        if !self.normalize {
            return Ok(pooled);
        }
        let norm = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        pooled.broadcast_div(&norm.maximum(1e-12)?)
    }

    fn check(&self, batch: &[&[u32]]) -> Result<()> {
        for sequence in batch {
            if sequence.is_empty() || sequence.len() > self.max_tokens {
                bail!(
                    "a sequence of {} tokens is not within 1 to {}",
                    sequence.len(),
                    self.max_tokens
                );
            }
            let words = self.words.dim(0)?;
            if let Some(id) = sequence.iter().find(|&&id| id as usize >= words) {
                bail!("token {id} is beyond the {words} there are");
            }
        }
        Ok(())
    }
}

impl Embedder for Bert {
    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn dimensions(&self) -> usize {
        self.hidden
    }

    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.check(batch)?;
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&i| batch[i].len());
        let mut vectors = vec![Vec::new(); batch.len()];
        for indices in chunks(&order, |i| batch[i].len()) {
            let sequences: Vec<&[u32]> = indices.iter().map(|&i| batch[i]).collect();
            let rows = self.encode(&sequences)?.to_vec2()?;
            for (&i, row) in indices.iter().zip(rows) {
                vectors[i] = row;
            }
        }
        Ok(vectors)
    }
}

/// Cuts `order` into pieces of at most [`CHUNK`] tokens, or of a single sequence.
fn chunks(order: &[usize], length: impl Fn(usize) -> usize) -> Vec<&[usize]> {
    let mut pieces = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, &i) in order.iter().enumerate() {
        if at > start && tokens + length(i) > CHUNK {
            pieces.push(&order[start..at]);
            (start, tokens) = (at, 0);
        }
        tokens += length(i);
    }
    if start < order.len() {
        pieces.push(&order[start..]);
    }
    pieces
}

fn runs(sequences: &[&[u32]]) -> Vec<Run> {
    let mut start = 0;
    let equal = sequences.chunk_by(|a, b| a.len() == b.len());
    equal
        .map(|group| {
            let run = Run {
                start,
                count: group.len(),
                length: group.first().map_or(0, |s| s.len()),
            };
            start += run.rows();
            run
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_every_sequence_once_and_in_order() {
        let lengths = [1, 500, 500, 500, 1024, 2000];
        let order: Vec<usize> = (0..lengths.len()).collect();
        let pieces = chunks(&order, |i| lengths[i]);
        assert_eq!(pieces, [&[0, 1, 2][..], &[3], &[4], &[5]]);
    }

    #[test]
    fn equal_lengths_form_one_run() {
        let (a, b) = ([1, 2], [3, 4, 5]);
        let found = runs(&[&a, &a, &b]);
        let expected = [(0, 2, 2), (4, 1, 3)].map(|(start, count, length)| Run {
            start,
            count,
            length,
        });
        assert_eq!(found, expected);
    }
}
