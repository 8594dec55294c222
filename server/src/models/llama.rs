//! Llama decoders with quantised weights, as GGUF files hold them.

use candle_core::quantized::QMatMul;
use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_i;

use super::CausalLm;

/// Tokens fed at once: the attention scores of a longer prompt would take memory by its square.
const CHUNK: usize = 256;

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
    /// Longest sequence to make room for, tokens.
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

/// Keys and values of one layer, each `(kv_heads, context, head_dim)`, written in place.
struct Cache {
    keys: Tensor,
    values: Tensor,
}

/// A Llama decoder of one sequence.
pub(crate) struct Llama {
    config: LlamaConfig,
    weights: LlamaWeights,
    caches: Vec<Cache>,
    frequencies: Vec<f64>,
    device: Device,
    // Tokens whose keys and values are in the caches.
    filled: usize,
}

/// What all layers of one step share.
struct Step {
    cos: Tensor,
    sin: Tensor,
    mask: Option<Tensor>,
    position: usize,
    length: usize,
}

impl Llama {
    /// Makes room for `config.context` tokens. The system gives the memory when it is first
    /// written, so a short conversation costs a short cache.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn new(config: LlamaConfig, weights: LlamaWeights, device: Device) -> Result<Self> {
        let shape = (config.kv_heads, config.context, config.head_dim);
        let caches = weights.layers.iter().map(|_| {
            Ok(Cache {
                keys: Tensor::zeros(shape, DType::F32, &device)?,
                values: Tensor::zeros(shape, DType::F32, &device)?,
            })
        });
        Ok(Self {
            caches: caches.collect::<Result<_>>()?,
            frequencies: frequencies(&config, weights.rope_factors.as_deref()),
            config,
            weights,
            device,
            filled: 0,
        })
    }

    // The widened table would answer zeros for an id beyond it.
    fn check_ids(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&id| id as usize >= self.config.vocab) {
            Some(id) => bail!("token {id} is beyond the {} there are", self.config.vocab),
            None => Ok(()),
        }
    }

    fn step(&self, position: usize, length: usize) -> Result<Step> {
        let angles = (position..position + length)
            .flat_map(|at| self.frequencies.iter().map(move |f| at as f64 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) =
            angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let shape = (length, self.config.head_dim / 2);
        let mask = (length > 1).then(|| causal_mask(position, length, &self.device));
        Ok(Step {
            cos: Tensor::from_vec(cos, shape, &self.device)?,
            sin: Tensor::from_vec(sin, shape, &self.device)?,
            mask: mask.transpose()?,
            position,
            length,
        })
    }

    /// Feeds at most [`CHUNK`] tokens; gives the hidden states after the last layer.
    fn feed(&self, tokens: &[u32], position: usize) -> Result<Tensor> {
        let step = self.step(position, tokens.len())?;
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
        cache: &Cache,
        x: &Tensor,
        step: &Step,
    ) -> Result<Tensor> {
        let LlamaConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let rotate = |x: &Tensor, heads| {
            let x = by_head(x, heads, head_dim)?.unsqueeze(0)?;
            rope_i(&x, &step.cos, &step.sin)?.squeeze(0)
        };
        let query = rotate(&layer.query.forward(x)?, heads)?;
        let key = rotate(&layer.key.forward(x)?, kv_heads)?;
        let value = by_head(&layer.value.forward(x)?, kv_heads, head_dim)?;
        cache.keys.slice_set(&key, 1, step.position)?;
        cache.values.slice_set(&value, 1, step.position)?;

        let seen = step.position + step.length;
        let keys = cache.keys.narrow(1, 0, seen)?;
        let values = cache.values.narrow(1, 0, seen)?;
        // Query heads that share a key head become rows of one product instead of copies of it.
        let rows = heads / kv_heads * step.length;
        let query = (query * (head_dim as f64).powf(-0.5))?.reshape((kv_heads, rows, head_dim))?;
        let mut scores = query.matmul(&keys.t()?)?;
        if let Some(mask) = &step.mask {
            scores = scores
                .reshape((heads, step.length, seen))?
                .broadcast_add(mask)?
                .reshape((kv_heads, rows, seen))?;
        }
        let mixed = softmax_last_dim(&scores)?.matmul(&values)?;
        let mixed = mixed
            .reshape((heads, step.length, head_dim))?
            .transpose(0, 1)?
            .reshape((step.length, heads * head_dim))?;
        layer.output.forward(&mixed)
    }
}

impl CausalLm for Llama {
    fn context(&self) -> usize {
        self.config.context
    }

    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Tensor> {
        let end = position.saturating_add(tokens.len());
        self.check_ids(tokens)?;
        if tokens.is_empty() || position > self.filled || end > self.config.context {
            bail!(
                "cannot feed {} tokens at {position}: {} are there, {} fit",
                tokens.len(),
                self.filled,
                self.config.context
            );
        }
        let mut at = position;
        let mut last = None;
        for chunk in tokens.chunks(CHUNK) {
            // A chunk that fails has overwritten what was here.
            self.filled = at;
            last = Some(self.feed(chunk, at)?);
            at += chunk.len();
            self.filled = at;
        }
        let Some(hidden) = last else {
            bail!("no tokens to feed");
        };
        let hidden = hidden.narrow(0, hidden.dim(0)? - 1, 1)?.contiguous()?;
        let hidden = rms_norm(&hidden, &self.weights.norm, self.config.norm_eps)?;
        self.weights.head.forward(&hidden)?.squeeze(0)
    }
}

/// `(length, heads * head_dim)` to `(heads, length, head_dim)`, contiguous.
fn by_head(x: &Tensor, heads: usize, head_dim: usize) -> Result<Tensor> {
    let length = x.dim(0)?;
    x.reshape((length, heads, head_dim))?
        .transpose(0, 1)?
        .contiguous()
}

fn feed_forward(layer: &LayerWeights, x: &Tensor) -> Result<Tensor> {
    let gated = (silu(&layer.gate.forward(x)?)? * layer.up.forward(x)?)?;
    layer.down.forward(&gated)
}

/// Shape `(length, position + length)`: 0 where a token may look, minus infinity ahead of it.
fn causal_mask(position: usize, length: usize, device: &Device) -> Result<Tensor> {
    let seen = position + length;
    let rows = (position..seen)
        .flat_map(|at| (0..seen).map(move |to| if to <= at { 0f32 } else { f32::NEG_INFINITY }));
    Tensor::from_vec(rows.collect(), (length, seen), device)
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
