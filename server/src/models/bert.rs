//! BERT encoders with pooling or a classifier, in f32.
//!
//! Sequences lie end to end without padding: the linear layers see one matrix of all tokens, and each token attends
//! to its own sequence. So nothing is computed for padding, nothing needs a mask, and what is beside a text changes
//! nothing of its vector.

use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{D, Device, Result, Tensor, bail};

use super::activation::Activation;
use super::cache::{Backend, CacheSize, Heads, LayerCache, Places, Sight};
use super::classifier::Classifier;
use super::linear::Linear;
use super::norm::Norm;
use super::{Chunk, Embedder};
use crate::load::Pooling;

/// Tokens computed at once: more would not fit the caches of a processor,
const CHUNK: usize = 1024;
/// and fewer would read the weights too often.
const LEAST: usize = 256;
/// Tokens of a block of keys and values.
const BLOCK_TOKENS: usize = 16;

/// Weights of one layer.
pub(crate) struct BertLayer {
    pub(crate) query_key_value: [Linear; 3],
    pub(crate) attention_output: Linear,
    pub(crate) attention_norm: Norm,
    pub(crate) intermediate: Linear,
    pub(crate) output: Linear,
    pub(crate) output_norm: Norm,
}

/// What the vectors of a text's tokens become.
pub(crate) enum Head {
    /// One vector, by sentence-transformers modules.
    Sentence { pooling: Pooling, normalize: bool },
    /// A number for each label.
    Classifier(Classifier),
}

/// A BERT encoder and what follows it.
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
    pub(crate) head: Head,
    pub(crate) max_tokens: usize,
    pub(crate) device: Device,
    pub(crate) backend: Backend,
}

impl Bert {
    /// The vectors of all tokens, `(tokens, hidden)`, one sequence after the other.
    fn encode(&self, sequences: &[&[u32]]) -> Result<Tensor> {
        let mut hidden = self.words(sequences)?;
        let tables = tables(sequences);
        let size = CacheSize {
            blocks: tables.iter().map(|blocks| blocks.len() as u32).sum(),
            block_tokens: BLOCK_TOKENS,
        };
        let chunks = sequences.iter().zip(&tables).map(|(tokens, blocks)| Chunk {
            tokens,
            position: 0,
            blocks,
            writes: false,
        });
        let chunks: Vec<Chunk<'_>> = chunks.collect();
        let places = Places::of(&chunks, size)?;
        // All layers use the same one after the other.
        let dim = self.hidden / self.heads;
        let cache = LayerCache::new(self.backend, size, self.heads, dim, &self.device)?;
        for layer in &self.layers {
            hidden = self.layer(layer, &hidden, &cache, &places)?;
        }
        Ok(hidden)
    }

    /// What goes into the first layer, `(tokens, hidden)`.
    fn words(&self, sequences: &[&[u32]]) -> Result<Tensor> {
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
        self.norm
            .forward(&(words + places)?.broadcast_add(&self.segment)?)
    }

    fn layer(
        &self,
        layer: &BertLayer,
        hidden: &Tensor,
        cache: &LayerCache,
        places: &Places<'_>,
    ) -> Result<Tensor> {
        let [query, key, value] = Linear::products(layer.query_key_value.each_ref(), hidden)?;
        cache.write(&key, &value, places)?;
        let dim = self.hidden / self.heads;
        let heads = Heads {
            queries: self.heads,
            keys: self.heads,
            dim,
            scale: (dim as f32).powf(-0.5),
            sight: Sight::Whole,
        };
        let mixed = cache.attend(&query, heads, places)?;
        let attended = layer.attention_output.forward(&mixed)?;
        let attended = layer.attention_norm.of_sum(&attended, hidden)?;
        let inner = layer.intermediate.activated(&attended, self.activation)?;
        let output = layer.output.forward(&inner)?;
        layer.output_norm.of_sum(&output, &attended)
    }

    /// The vectors of sequences that are computed together.
    fn vectors(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let hidden = self.encode(sequences)?;
        let mut start = 0;
        let parts = sequences.iter().map(|sequence| {
            let part = hidden.narrow(0, start, sequence.len())?;
            start += sequence.len();
            self.head.pool(&part)
        });
        let pooled = Tensor::stack(&parts.collect::<Result<Vec<_>>>()?, 0)?;
        // One transfer for all, where they come from another device.
        match &self.head {
            Head::Sentence { .. } => pooled.to_vec2(),
            Head::Classifier(classifier) => classifier.forward(&pooled),
        }
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

impl Head {
    /// The vector of one sequence, `(hidden)`, whose tokens' vectors are `tokens`, `(tokens, hidden)`.
    fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        let (pooling, normalize) = match self {
            Self::Sentence { pooling, normalize } => (*pooling, *normalize),
            Self::Classifier(_) => (Pooling::Cls, false),
        };
        let pooled = match pooling {
            Pooling::Mean => tokens.mean(0)?,
            Pooling::Cls => tokens.get(0)?,
            Pooling::Max => tokens.max(0)?,
        };
        if !normalize {
            return Ok(pooled);
        }
        let norm = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        pooled.broadcast_div(&norm.maximum(1e-12)?)
    }
}

impl Embedder for Bert {
    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn dimensions(&self) -> usize {
        match &self.head {
            Head::Sentence { .. } => self.hidden,
            Head::Classifier(classifier) => classifier.count,
        }
    }

    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.check(batch)?;
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&i| batch[i].len());
        let tokens: usize = batch.iter().map(|sequence| sequence.len()).sum();
        let share = tokens.div_ceil(rayon::current_num_threads());
        let pieces = chunks(&order, share.clamp(LEAST, CHUNK), |i| batch[i].len());
        let compute = |piece: &[usize]| {
            let sequences: Vec<&[u32]> = piece.iter().map(|&i| batch[i]).collect();
            self.vectors(&sequences)
        };
        let found = match self.backend {
            Backend::Kernels => side_by_side(&pieces, compute),
            Backend::TensorOps => pieces.iter().map(|piece| compute(piece)).collect(),
        };
        let mut vectors = vec![Vec::new(); batch.len()];
        for (piece, found) in pieces.iter().zip(found) {
            for (&i, vector) in piece.iter().zip(found?) {
                vectors[i] = vector;
            }
        }
        Ok(vectors)
    }
}

/// What `compute` gives for each piece. Every thread of the pool has a piece of its own, so that none waits while
/// another does what can't be shared out; where there are fewer pieces than threads, they share what can.
fn side_by_side<T: Send + Sync>(
    pieces: &[&[usize]],
    compute: impl Fn(&[usize]) -> T + Sync,
) -> Vec<T> {
    let found: Vec<OnceLock<T>> = pieces.iter().map(|_| OnceLock::new()).collect();
    // The longest sequences are last, and are best begun first.
    let next = Mutex::new(pieces.iter().zip(&found).rev());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    rayon::broadcast(|_| {
        while let Some((piece, found)) = take() {
            found.get_or_init(|| compute(piece));
        }
    });
    found.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Cuts `order` into pieces of at most `size` tokens, or of a single sequence.
fn chunks(order: &[usize], size: usize, length: impl Fn(usize) -> usize) -> Vec<&[usize]> {
    let mut pieces = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, &i) in order.iter().enumerate() {
        if at > start && tokens + length(i) > size {
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

/// Blocks of keys and values for each sequence.
fn tables(sequences: &[&[u32]]) -> Vec<Vec<u32>> {
    let mut next = 0;
    let tables = sequences.iter().map(|sequence| {
        let first = next;
        next += sequence.len().div_ceil(BLOCK_TOKENS) as u32;
        (first..next).collect()
    });
    tables.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_every_sequence_once_and_in_order() {
        let lengths = [1, 500, 500, 500, 1024, 2000];
        let order: Vec<usize> = (0..lengths.len()).collect();
        let pieces = chunks(&order, CHUNK, |i| lengths[i]);
        assert_eq!(pieces, [&[0, 1, 2][..], &[3], &[4], &[5]]);
    }

    #[test]
    fn each_sequence_has_blocks_of_its_own() {
        let (short, long) = ([1; 16], [2; 17]);
        let found = tables(&[&short, &long, &short]);
        assert_eq!(found, [vec![0], vec![1, 2], vec![3]]);
    }
}
