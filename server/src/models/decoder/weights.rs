//! The weights of a decoder.

use candle_core::{Result, Tensor};

use crate::models::activation::{self, Activation};
use crate::models::linear::Linear;
use crate::models::matrix::Matrix;
use crate::models::norm::Norm;

/// Weights of the whole model.
pub(crate) struct DecoderWeights {
    /// `(vocab, hidden)`.
    pub(crate) embedding: Matrix,
    /// `(positions, hidden)`, where positions are learned.
    pub(crate) positions: Option<Matrix>,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) norm: Norm,
    /// `(vocab, hidden)`.
    pub(crate) head: Matrix,
}

/// Weights of one layer.
pub(crate) struct LayerWeights {
    pub(crate) attention_norm: Norm,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    /// Over each head of the queries and of the keys.
    pub(crate) head_norms: Option<(Norm, Norm)>,
    pub(crate) attention_output: Linear,
    /// Over what the attention adds.
    pub(crate) attention_post_norm: Option<Norm>,
    pub(crate) feed_forward_norm: Norm,
    pub(crate) gate: Option<Linear>,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    /// Over what the feed-forward block adds.
    pub(crate) feed_forward_post_norm: Option<Norm>,
}

impl LayerWeights {
    pub(super) fn query_key_value(&self) -> [&Linear; 3] {
        [&self.query, &self.key, &self.value]
    }

    pub(super) fn feed_forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let inner = match &self.gate {
            Some(gate) => {
                let [gate, up] = Linear::products([gate, &self.up], x)?;
                activation::gated(activation, &gate, &up)?
            }
            None => self.up.activated(x, activation)?,
        };
        self.down.forward(&inner)
    }
}
