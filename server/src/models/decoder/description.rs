//! What a decoder is made of, told as data: one forward pass serves all families.

use super::rotary::Rotary;
use crate::models::activation::Activation;

/// A decoder without its weights.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// Length of a token's vector.
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Length of a head's vectors; `heads · head_dim` need not be `hidden`.
    pub(crate) head_dim: usize,
    /// Multiplies products of queries and keys.
    pub(crate) attention_scale: f32,
    pub(crate) vocab: usize,
    /// Longest sequence, tokens.
    pub(crate) context: usize,
    pub(crate) norm: NormKind,
    pub(crate) norm_eps: f32,
    /// Where a layer normalises.
    pub(crate) placement: Placement,
    /// Whether the heads of queries and keys are normalised, each by itself, before they are rotated.
    pub(crate) head_norm: bool,
    pub(crate) feed_forward: FeedForward,
    pub(crate) biases: Biases,
    pub(crate) positions: Positions,
    /// Multiplies the vectors of the embedding table.
    pub(crate) embedding_scale: Option<f32>,
    /// Whether the embedding table is the output matrix too.
    pub(crate) tied_head: bool,
    /// Logits are kept within it: `cap · tanh(x / cap)`.
    pub(crate) logit_cap: Option<f32>,
    pub(crate) layer_count: usize,
    /// The kinds of layers; they take turns.
    pub(crate) kinds: Vec<LayerKind>,
}

/// How vectors are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// By the root of the mean square, with a scale.
    Rms,
    /// By mean and variance, with a scale and a shift.
    Layer,
}

/// Where a layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// What goes into each block.
    Before,
    /// What goes into each block, and what comes out of it before it is added.
    Around,
}

/// The block after the attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeedForward {
    /// Length of its inner vectors.
    pub(crate) inner: usize,
    pub(crate) activation: Activation,
    /// `down(activation(gate(x)) · up(x))` where it has a gate, else `down(activation(up(x)))`.
    pub(crate) gated: bool,
}

/// Which matrices have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Biases {
    /// Queries, keys and values.
    pub(crate) query_key_value: bool,
    pub(crate) attention_output: bool,
    pub(crate) feed_forward: bool,
}

/// How a model knows where a token stands.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    /// Queries and keys are rotated; layers choose among these by index.
    Rotated(Vec<Rotary>),
    /// A vector is added for each of so many positions.
    Learned(usize),
}

/// In what layers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerKind {
    /// Tokens that one sees, itself and those just before it; all before it where there is none.
    pub(crate) window: Option<usize>,
    /// Which rotation it has.
    pub(crate) rotary: usize,
}

/// The sizes that all decoders have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Length of the inner vectors of feed-forward blocks.
    pub(crate) inner: usize,
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    pub(crate) layers: usize,
}

/// Longer heads than any model has.
pub(crate) const MAX_HEAD_DIM: usize = 1 << 16;

impl Description {
    /// A Llama, which the other families differ from.
    pub(crate) fn llama(sizes: Sizes, norm_eps: f32, rotary: Rotary, tied_head: bool) -> Self {
        Self {
            hidden: sizes.hidden,
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_dim: sizes.head_dim,
            attention_scale: (sizes.head_dim as f32).powf(-0.5),
            vocab: sizes.vocab,
            context: sizes.context,
            norm: NormKind::Rms,
            norm_eps,
            placement: Placement::Before,
            head_norm: false,
            feed_forward: FeedForward {
                inner: sizes.inner,
                activation: Activation::Silu,
                gated: true,
            },
            biases: Biases::default(),
            positions: Positions::Rotated(vec![rotary]),
            embedding_scale: None,
            tied_head,
            logit_cap: None,
            layer_count: sizes.layers,
            kinds: vec![LayerKind::default()],
        }
    }

    /// Length of all heads of queries together.
    pub(crate) fn query_width(&self) -> usize {
        self.heads.saturating_mul(self.head_dim)
    }

    /// Length of all heads of keys together, as of values.
    pub(crate) fn key_width(&self) -> usize {
        self.kv_heads.saturating_mul(self.head_dim)
    }

    /// Bytes of keys and values that each token of the context takes.
    pub(crate) fn cache_bytes_per_token(&self) -> u64 {
        (self.key_width() as u64)
            .saturating_mul(self.layer_count as u64)
            .saturating_mul(2 * size_of::<f32>() as u64)
    }

    /// The kind of a layer.
    pub(crate) fn kind(&self, layer: usize) -> LayerKind {
        let kinds = self.kinds.len().max(1);
        self.kinds.get(layer % kinds).copied().unwrap_or_default()
    }

    /// The rotations, of which there are none where positions are learned.
    pub(crate) fn rotaries(&self) -> &[Rotary] {
        match &self.positions {
            Positions::Rotated(rotaries) => rotaries,
            Positions::Learned(_) => &[],
        }
    }
}
