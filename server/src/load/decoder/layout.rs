//! How the files of a family name and lay out their weights, and the weights by it.

use candle_core::Tensor;

use super::store::{Part, Tensors};
use crate::load::LoadError;
use crate::models::decoder::{
    DecoderWeights, Description, LayerWeights, NormKind, Placement, Positions,
};
use crate::models::linear::Linear;
use crate::models::matrix::Matrix;
use crate::models::norm::Norm;

/// Matrices that are used side by side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joined<const N: usize> {
    /// A tensor each.
    Apart([&'static str; N]),
    /// Stacked in one tensor.
    Together(&'static str),
}

/// Names without `.weight` and `.bias`, those of a layer without its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Stands before all names but that of the head.
    pub(super) prefix: &'static str,
    pub(super) embedding: &'static str,
    pub(super) positions: &'static str,
    pub(super) norm: &'static str,
    pub(super) head: &'static str,
    /// Stands before a layer's number.
    pub(super) layer: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) query_key_value: Joined<3>,
    pub(super) head_norms: [&'static str; 2],
    pub(super) attention_output: &'static str,
    pub(super) attention_post_norm: &'static str,
    pub(super) feed_forward_norm: &'static str,
    /// The gate, where there is one, and what it is for.
    pub(super) gate_up: Joined<2>,
    pub(super) down: &'static str,
    pub(super) feed_forward_post_norm: &'static str,
    /// Whether the matrices of layers are stored as `(in, out)`.
    pub(super) transposed: bool,
    /// Added to the scales of norms.
    pub(super) norm_offset: f64,
}

/// The names of Llama's checkpoints, which most families took over.
pub(super) const LLAMA: Layout = Layout {
    prefix: "model.",
    embedding: "embed_tokens",
    positions: "",
    norm: "norm",
    head: "lm_head",
    layer: "layers.",
    attention_norm: "input_layernorm",
    query_key_value: Joined::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    head_norms: ["self_attn.q_norm", "self_attn.k_norm"],
    attention_output: "self_attn.o_proj",
    attention_post_norm: "",
    feed_forward_norm: "post_attention_layernorm",
    gate_up: Joined::Apart(["mlp.gate_proj", "mlp.up_proj"]),
    down: "mlp.down_proj",
    feed_forward_post_norm: "",
    transposed: false,
    norm_offset: 0.0,
};

/// The names in GGUF files, of all families.
pub(super) const GGUF: Layout = Layout {
    prefix: "",
    embedding: "token_embd",
    positions: "position_embd",
    norm: "output_norm",
    head: "output",
    layer: "blk.",
    attention_norm: "attn_norm",
    query_key_value: Joined::Apart(["attn_q", "attn_k", "attn_v"]),
    head_norms: ["attn_q_norm", "attn_k_norm"],
    attention_output: "attn_output",
    attention_post_norm: "post_attention_norm",
    feed_forward_norm: "ffn_norm",
    gate_up: Joined::Apart(["ffn_gate", "ffn_up"]),
    down: "ffn_down",
    feed_forward_post_norm: "post_ffw_norm",
    transposed: false,
    norm_offset: 0.0,
};

impl Layout {
    /// The name of the embedding table's tensor.
    pub(super) fn embedding_tensor(&self) -> String {
        format!("{}{}.weight", self.prefix, self.embedding)
    }

    /// The name of the output matrix's tensor.
    pub(super) fn head_tensor(&self) -> String {
        format!("{}.weight", self.head)
    }

    /// The weights of what is described.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`] for tensors that are missing, of another shape or unknown.
    pub(super) fn weights(
        &self,
        tensors: &Tensors<'_>,
        description: &Description,
    ) -> Result<DecoderWeights, LoadError> {
        let loader = Loader {
            layout: self,
            tensors,
            description,
        };
        let Description { hidden, vocab, .. } = *description;
        let name = |part: &str| format!("{}{part}", self.prefix);
        let embedding = loader.table(&name(self.embedding), vocab)?;
        let head = match description.tied_head {
            // The same weights serve both ends, and stay in memory once.
            true => embedding.clone(),
            false => loader.table(self.head, vocab)?,
        };
        let positions = match description.positions {
            Positions::Learned(count) => Some(loader.table(&name(self.positions), count)?),
            Positions::Rotated(_) => None,
        };
        let layers = (0..description.layer_count).map(|index| loader.layer(index));
        Ok(DecoderWeights {
            embedding,
            positions,
            layers: layers.collect::<Result<_, _>>()?,
            norm: loader.norm(&name(self.norm), hidden)?,
            head,
        })
    }
}

struct Loader<'a> {
    layout: &'a Layout,
    tensors: &'a Tensors<'a>,
    description: &'a Description,
}

impl Loader<'_> {
    /// One vector of the network for each of so many rows.
    fn table(&self, name: &str, rows: usize) -> Result<Matrix, LoadError> {
        self.tensors.matrix(&Part {
            name: &format!("{name}.weight"),
            shape: [rows, self.description.hidden],
            outputs: 0..rows,
            transposed: false,
        })
    }

    fn norm(&self, name: &str, length: usize) -> Result<Norm, LoadError> {
        let vector = |part: &str| -> Result<Tensor, LoadError> {
            let name = format!("{name}.{part}");
            self.tensors.vector(&name, length, 0..length)
        };
        let weight = vector("weight")?;
        let weight = match self.layout.norm_offset {
            0.0 => Ok(weight),
            offset => weight + offset,
        };
        Ok(Norm {
            weight: weight.map_err(|e| LoadError::weights(name, e.to_string()))?,
            bias: match self.description.norm {
                NormKind::Rms => None,
                NormKind::Layer => Some(vector("bias")?),
            },
            eps: self.description.norm_eps,
        })
    }

    /// Matrices of these numbers of outputs that all take `inputs` values.
    fn joined<const N: usize>(
        &self,
        prefix: &str,
        names: Joined<N>,
        outputs: [usize; N],
        inputs: usize,
        biased: bool,
    ) -> Result<[Linear; N], LoadError> {
        let all: usize = outputs.iter().sum();
        let mut linears = Vec::with_capacity(N);
        let mut start = 0;
        for (index, &count) in outputs.iter().enumerate() {
            let (name, whole, from) = match names {
                Joined::Apart(names) => (names[index], count, 0),
                Joined::Together(name) => (name, all, start),
            };
            start += count;
            let name = format!("{prefix}{name}");
            let weight = self.tensors.matrix(&Part {
                name: &format!("{name}.weight"),
                shape: [whole, inputs],
                outputs: from..from + count,
                transposed: self.layout.transposed,
            })?;
            let bias = format!("{name}.bias");
            let bias = biased.then(|| self.tensors.vector(&bias, whole, from..from + count));
            let bias = bias.transpose()?;
            linears.push(Linear { weight, bias });
        }
        let linears = linears.try_into();
        Ok(linears.unwrap_or_else(|_| unreachable!("one was made for each of N")))
    }

    fn linear(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
        biased: bool,
    ) -> Result<Linear, LoadError> {
        let names = Joined::Apart([""]);
        let [linear] = self.joined(name, names, [outputs], inputs, biased)?;
        Ok(linear)
    }

    fn layer(&self, index: usize) -> Result<LayerWeights, LoadError> {
        let (layout, description) = (self.layout, self.description);
        let Description { hidden, biases, .. } = *description;
        let wide = description.query_width();
        let inner = description.feed_forward.inner;
        let prefix = format!("{}{}{index}.", layout.prefix, layout.layer);
        let name = |part: &str| format!("{prefix}{part}");
        let [query, key, value] = self.query_key_value(&prefix)?;
        let post_norm = |part: &str| {
            let around = description.placement == Placement::Around;
            around.then(|| self.norm(&name(part), hidden)).transpose()
        };
        let head_norm = |part: &str| self.norm(&name(part), description.head_dim);
        let [query_norm, key_norm] = layout.head_norms;
        let (gate, up) = self.gate_up(&prefix)?;
        let output = name(layout.attention_output);
        Ok(LayerWeights {
            attention_norm: self.norm(&name(layout.attention_norm), hidden)?,
            query,
            key,
            value,
            head_norms: match description.head_norm {
                true => Some((head_norm(query_norm)?, head_norm(key_norm)?)),
                false => None,
            },
            attention_output: self.linear(&output, hidden, wide, biases.attention_output)?,
            attention_post_norm: post_norm(layout.attention_post_norm)?,
            feed_forward_norm: self.norm(&name(layout.feed_forward_norm), hidden)?,
            gate,
            up,
            down: self.linear(&name(layout.down), hidden, inner, biases.feed_forward)?,
            feed_forward_post_norm: post_norm(layout.feed_forward_post_norm)?,
        })
    }

    fn query_key_value(&self, prefix: &str) -> Result<[Linear; 3], LoadError> {
        let description = self.description;
        let (wide, narrow) = (description.query_width(), description.key_width());
        let biased = description.biases.query_key_value;
        let (names, outputs) = (self.layout.query_key_value, [wide, narrow, narrow]);
        self.joined(prefix, names, outputs, description.hidden, biased)
    }

    fn gate_up(&self, prefix: &str) -> Result<(Option<Linear>, Linear), LoadError> {
        let Description {
            hidden,
            feed_forward,
            biases,
            ..
        } = *self.description;
        let (inner, biased) = (feed_forward.inner, biases.feed_forward);
        match (feed_forward.gated, self.layout.gate_up) {
            (true, names) => {
                let [gate, up] = self.joined(prefix, names, [inner, inner], hidden, biased)?;
                Ok((Some(gate), up))
            }
            (false, Joined::Apart([_, up]) | Joined::Together(up)) => {
                let up = self.linear(&format!("{prefix}{up}"), inner, hidden, biased)?;
                Ok((None, up))
            }
        }
    }
}
