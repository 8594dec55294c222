//! Llama decoders with quantised weights, as GGUF files hold them.

use candle_core::quantized::QMatMul;
use candle_core::{Device, Module, Result, Tensor, bail};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope_i;

use super::cache::{CacheSize, Heads, LayerCache, Places};
use super::{CausalLm, Chunk};

/// The sizes of a model.
#[derive(Clone, Debug)]
pub(crate) struct LlamaConfig {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Length of a head's vectors; even, as rotation pairs them.
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    pub(crate) norm_eps: f32,
    pub(crate) rope_base: f64,
    /// Longest sequence, tokens.
    pub(crate) context: usize,
}

impl LlamaConfig {
    /// Bytes of keys and values that each token of the context takes.
    pub(crate) fn cache_bytes_per_token(&self) -> u64 {
        let values = (self.kv_heads as u64).saturating_mul(self.head_dim as u64);
        values
            .saturating_mul(self.layers as u64)
            .saturating_mul(2 * size_of::<f32>() as u64)
    }
}

/// Weights of one layer; matrices are stored as `(out, in)`.
pub(crate) struct LayerWeights {
    pub(crate) attention_norm: Tensor,
    pub(crate) query: QMatMul,
    pub(crate) key: QMatMul,
    pub(crate) value: QMatMul,
    pub(crate) output: QMatMul,
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: QMatMul,
    pub(crate) up: QMatMul,
    pub(crate) down: QMatMul,
}

/// Weights of the whole model.
pub(crate) struct LlamaWeights {
    /// `(vocab, hidden)`.
    pub(crate) embedding: QMatMul,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) norm: Tensor,
    /// `(vocab, hidden)`.
    pub(crate) head: QMatMul,
    /// Divides the rotation frequencies, for models trained on one context and stretched to a
    /// longer one; `head_dim / 2` values.
    pub(crate) rope_factors: Option<Vec<f32>>,
}

/// A Llama decoder.
pub(crate) struct Llama {
    config: LlamaConfig,
    weights: LlamaWeights,
    /// Room for at least one sequence of the greatest length.
    size: CacheSize,
    caches: Vec<LayerCache>,
    frequencies: Vec<f64>,
    device: Device,
}

/// What all layers of one step share.
struct Step<'a> {
    /// `(rows, 1, head_dim / 2)`, as `sin`.
    cos: Tensor,
    sin: Tensor,
    places: Places<'a>,
}

impl Llama {
    /// Makes room for the cache.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn new(
        config: LlamaConfig,
        size: CacheSize,
        weights: LlamaWeights,
        device: Device,
    ) -> Result<Self> {
        let width = config.kv_heads * config.head_dim;
        let caches = weights
            .layers
            .iter()
            .map(|_| LayerCache::new(size, width, &device));
        Ok(Self {
            size,
            caches: caches.collect::<Result<_>>()?,
            frequencies: frequencies(&config, weights.rope_factors.as_deref()),
            config,
            weights,
            device,
        })
    }

    /// What can be computed.
    fn check(&self, chunks: &[Chunk<'_>]) -> Result<()> {
        for chunk in chunks {
            let end = chunk.position.saturating_add(chunk.tokens.len());
            if chunk.tokens.is_empty() || end > self.config.context {
                let (tokens, at) = (chunk.tokens.len(), chunk.position);
                bail!(
                    "cannot feed {tokens} tokens at {at}: {} fit",
                    self.config.context
                );
            }
            // The widened table would answer zeros for an id beyond it.
            let vocab = self.config.vocab;
            if let Some(id) = chunk.tokens.iter().find(|id| **id as usize >= vocab) {
                bail!("token {id} is beyond the {vocab} there are");
            }
        }
        Ok(())
    }

    fn step<'a>(&self, chunks: &[Chunk<'a>]) -> Result<Step<'a>> {
        let places = Places::of(chunks, self.size)?;
        let angles = places
            .positions()
            .flat_map(|at| self.frequencies.iter().map(move |f| at as f64 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) =
            angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let half = self.config.head_dim / 2;
        let shape = (cos.len() / half, 1, half);
        Ok(Step {
            cos: Tensor::from_vec(cos, shape, &self.device)?,
            sin: Tensor::from_vec(sin, shape, &self.device)?,
            places,
        })
    }

    /// The hidden states of all rows after the last layer.
    fn feed(&self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        let step = self.step(chunks)?;
        let tokens: Vec<u32> = chunks
            .iter()
            .flat_map(|chunk| chunk.tokens)
            .copied()
            .collect();
        let ids = Tensor::new(tokens, &self.device)?;
        let mut hidden = self.weights.embedding.embedding(&ids)?;
        for (layer, cache) in self.weights.layers.iter().zip(&self.caches) {
            let normed = rms_norm(&hidden, &layer.attention_norm, self.config.norm_eps)?;
            hidden = (hidden + self.attention(layer, cache, &normed, &step)?)?;
            let normed = rms_norm(&hidden, &layer.feed_forward_norm, self.config.norm_eps)?;
            hidden = (hidden + feed_forward(layer, &normed)?)?;
        }
        Ok(hidden)
    }

    fn attention(
        &self,
        layer: &LayerWeights,
        cache: &LayerCache,
        x: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor> {
        let LlamaConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let rows = x.dim(0)?;
        // Each row is rotated as a sequence of its own, by the angles of its position.
        let rotate = |x: &Tensor, heads| {
            let x = x.reshape((rows, heads, 1, head_dim))?;
            rope_i(&x, &step.cos, &step.sin)?.reshape((rows, heads * head_dim))
        };
        let query = rotate(&layer.query.forward(x)?, heads)?;
        let key = rotate(&layer.key.forward(x)?, kv_heads)?;
        let value = layer.value.forward(x)?;
        cache.write(&key, &value, &step.places)?;
        let heads = Heads {
            queries: heads,
            keys: kv_heads,
            dim: head_dim,
            scale: (head_dim as f32).powf(-0.5),
        };
        layer
            .output
            .forward(&cache.attend(&query, heads, &step.places)?)
    }
}

impl CausalLm for Llama {
    fn context(&self) -> usize {
        self.config.context
    }

    fn cache(&self) -> CacheSize {
        self.size
    }

    fn forward(&mut self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        self.check(chunks)?;
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
            return Tensor::zeros((0, self.config.vocab), hidden.dtype(), &self.device);
        }
        let hidden = hidden.index_select(&Tensor::new(wanted, &self.device)?, 0)?;
        let hidden = rms_norm(&hidden, &self.weights.norm, self.config.norm_eps)?;
        self.weights.head.forward(&hidden)
    }
}

fn feed_forward(layer: &LayerWeights, x: &Tensor) -> Result<Tensor> {
    let gated = (silu(&layer.gate.forward(x)?)? * layer.up.forward(x)?)?;
    layer.down.forward(&gated)
}

/// Radians a token that each pair of a head's values turns by.
fn frequencies(config: &LlamaConfig, factors: Option<&[f32]>) -> Vec<f64> {
    let half = config.head_dim / 2;
    let base = (0..half).map(|i| config.rope_base.powf(-(i as f64) / half as f64));
    match factors {
        None => base.collect(),
        Some(factors) => base
            .zip(factors)
            .map(|(frequency, &factor)| frequency / f64::from(factor))
            .collect(),
    }
}
