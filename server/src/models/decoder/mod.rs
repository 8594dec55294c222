//! Decoders of all families: one forward pass over rows of several sequences.

mod description;
mod rotary;
mod weights;

use candle_core::{Device, Result, Tensor, bail};

use super::cache::{Backend, CacheSize, Heads, LayerCache, Places, Sight};
use super::linear::Linear;
use super::norm::Norm;
use super::{CausalLm, Chunk, rows};

pub(crate) use description::{
    Biases, Description, FeedForward, LayerKind, MAX_HEAD_DIM, NormKind, Placement, Positions,
    Sizes,
};
pub(crate) use rotary::{Pairs, Rotary};
pub(crate) use weights::{DecoderWeights, LayerWeights};

use rotary::Angles;

/// A decoder.
pub(crate) struct Decoder {
    description: Description,
    weights: DecoderWeights,
    /// Room for at least one sequence of the greatest length.
    size: CacheSize,
    step_tokens: usize,
    caches: Vec<LayerCache>,
    device: Device,
}

/// What all layers of one step share.
struct Step<'a> {
    /// By rotation of the description.
    angles: Vec<Angles>,
    places: Places<'a>,
}

impl Decoder {
    /// Makes room for the cache. Steps are to have `step_tokens` tokens of prompts at most.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn new(
        description: Description,
        size: CacheSize,
        step_tokens: usize,
        weights: DecoderWeights,
        device: Device,
        backend: Backend,
    ) -> Result<Self> {
        let (heads, dim) = (description.kv_heads, description.head_dim);
        let caches = weights
            .layers
            .iter()
            .map(|_| LayerCache::new(backend, size, heads, dim, &device));
        Ok(Self {
            size,
            step_tokens,
            caches: caches.collect::<Result<_>>()?,
            description,
            weights,
            device,
        })
    }

    /// What can be computed.
    fn check(&self, chunks: &[Chunk<'_>]) -> Result<()> {
        let Description { context, vocab, .. } = self.description;
        for chunk in chunks {
            let end = chunk.position.saturating_add(chunk.tokens.len());
            if chunk.tokens.is_empty() || end > context {
                let (tokens, at) = (chunk.tokens.len(), chunk.position);
                bail!("cannot feed {tokens} tokens at {at}: {context} fit");
            }
            // The widened table would answer zeros for an id beyond it.
            if let Some(id) = chunk.tokens.iter().find(|id| **id as usize >= vocab) {
                bail!("token {id} is beyond the {vocab} there are");
            }
        }
        Ok(())
    }

    fn step<'a>(&self, chunks: &[Chunk<'a>]) -> Result<Step<'a>> {
        let places = Places::of(chunks, self.size)?;
        let rotaries = self.description.rotaries().iter();
        let angles = rotaries.map(|rotary| rotary.at(places.positions(), &self.device));
        Ok(Step {
            angles: angles.collect::<Result<_>>()?,
            places,
        })
    }

    /// The vectors of a step's tokens, `(rows, hidden)`.
    fn embed(&self, chunks: &[Chunk<'_>], places: &Places<'_>) -> Result<Tensor> {
        let tokens: Vec<u32> = chunks
            .iter()
            .flat_map(|chunk| chunk.tokens)
            .copied()
            .collect();
        let mut hidden = self.weights.embedding.rows(&tokens, &self.device)?;
        if let Some(scale) = self.description.embedding_scale {
            hidden = (hidden * f64::from(scale))?;
        }
        if let Some(table) = &self.weights.positions {
            let positions: Vec<u32> = places.positions().map(|at| at as u32).collect();
            hidden = (hidden + table.rows(&positions, &self.device)?)?;
        }
        Ok(hidden)
    }

    /// The hidden states of all rows after the last layer.
    fn feed(&self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        let step = self.step(chunks)?;
        let mut hidden = self.embed(chunks, &step.places)?;
        let activation = self.description.feed_forward.activation;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let added = self.attention(index, &layer.attention_norm.forward(&hidden)?, &step)?;
            hidden = add(hidden, added, layer.attention_post_norm.as_ref())?;
            let normed = layer.feed_forward_norm.forward(&hidden)?;
            let added = layer.feed_forward(&normed, activation)?;
            hidden = add(hidden, added, layer.feed_forward_post_norm.as_ref())?;
        }
        Ok(hidden)
    }

    fn attention(&self, index: usize, x: &Tensor, step: &Step<'_>) -> Result<Tensor> {
        let weights = &self.weights.layers[index];
        let kind = self.description.kind(index);
        let cache = &self.caches[index];
        let Description {
            heads,
            kv_heads,
            head_dim,
            attention_scale,
            ..
        } = self.description;
        let rows = x.dim(0)?;
        let angles = step.angles.get(kind.rotary);
        let prepare = |x: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let mut x = x.reshape((rows, heads, head_dim))?;
            if let Some(norm) = norm {
                x = norm.forward(&x)?;
            }
            if let Some(angles) = angles {
                x = angles.rotate(&x)?;
            }
            x.reshape((rows, heads * head_dim))
        };
        let norms = weights.head_norms.as_ref();
        let (query_norm, key_norm) = norms.map(|(query, key)| (query, key)).unzip();
        let [query, key, value] = Linear::products(weights.query_key_value(), x)?;
        let query = prepare(query, heads, query_norm)?;
        let key = prepare(key, kv_heads, key_norm)?;
        cache.write(&key, &value, &step.places)?;
        let heads = Heads {
            queries: heads,
            keys: kv_heads,
            dim: head_dim,
            scale: attention_scale,
            sight: Sight::Before {
                window: kind.window,
            },
        };
        let mixed = cache.attend(&query, heads, &step.places)?;
        weights.attention_output.forward(&mixed)
    }

    /// The logits after rows of hidden states, `(rows, vocab)`.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let hidden = self.weights.norm.forward(hidden)?;
        let logits = self.weights.head.forward(&hidden)?;
        match self.description.logit_cap.map(f64::from) {
            Some(cap) => (logits / cap)?.tanh()? * cap,
            None => Ok(logits),
        }
    }
}

/// What a block adds, normalised first where the family does that.
fn add(hidden: Tensor, added: Tensor, norm: Option<&Norm>) -> Result<Tensor> {
    match norm {
        Some(norm) => rows::sum(&hidden, &norm.forward(&added)?),
        None => rows::sum(&hidden, &added),
    }
}

impl CausalLm for Decoder {
    fn context(&self) -> usize {
        self.description.context
    }

    fn cache(&self) -> CacheSize {
        self.size
    }

    fn step_tokens(&self) -> usize {
        self.step_tokens
    }

    fn forward(&mut self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        self.check(chunks)?;
        // On a thread of the pool that products are spread over: one from outside would wait to be woken
        // after each of them.
        let model = &*self;
        rayon::scope(|_| model.compute(chunks))
    }
}

impl Decoder {
    /// The logits of the chunks that write.
    fn compute(&self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        let hidden = self.feed(chunks)?;
        let ends = chunks.iter().scan(0, |end, chunk| {
            *end += chunk.tokens.len() as u32;
            Some((*end, chunk.writes))
        });
        let wanted: Vec<u32> = ends
            .filter(|(_, writes)| *writes)
            .map(|(end, _)| end - 1)
            .collect();
        if wanted.is_empty() {
            let shape = (0, self.description.vocab);
            return Tensor::zeros(shape, hidden.dtype(), &self.device);
        }
        self.logits(&hidden.index_select(&Tensor::new(wanted, &self.device)?, 0)?)
    }
}
