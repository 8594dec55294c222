//! GPT-2, also DialoGPT: learned positions, norms with a shift, biases everywhere.

use serde::Deserialize;

use super::Plan;
use crate::load::decoder::LEAST_CONTEXT;
use crate::load::decoder::gguf::Metadata;
use crate::load::decoder::layout::{self, Joined, Layout};
use crate::load::files::Files;
use crate::load::{LoadError, LoadOptions, activation_named};
use crate::models::activation::Activation;
use crate::models::decoder::{
    Biases, Description, FeedForward, LayerKind, NormKind, Pairs, Placement, Positions,
};

const BIASES: Biases = Biases {
    query_key_value: true,
    attention_output: true,
    feed_forward: true,
};

const LAYOUT: Layout = Layout {
    prefix: "transformer.",
    embedding: "wte",
    positions: "wpe",
    norm: "ln_f",
    layer: "h.",
    attention_norm: "ln_1",
    query_key_value: Joined::Together("attn.c_attn"),
    attention_output: "attn.c_proj",
    feed_forward_norm: "ln_2",
    gate_up: Joined::Together("mlp.c_fc"),
    down: "mlp.c_proj",
    // Their layers are convolutions over one token, which store inputs first.
    transposed: true,
    ..layout::LLAMA
};

const GGUF: Layout = Layout {
    query_key_value: Joined::Together("attn_qkv"),
    ..layout::GGUF
};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    n_positions: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    activation_function: Option<String>,
    layer_norm_epsilon: Option<f32>,
    tie_word_embeddings: Option<bool>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
}

impl Config {
    fn check(&self, name: &str) -> Result<(), LoadError> {
        let sizes = [
            self.vocab_size,
            self.n_positions,
            self.n_embd,
            self.n_layer,
            self.n_head,
        ];
        let inner = self.n_inner == Some(0);
        if sizes.contains(&0) || inner || !self.n_embd.is_multiple_of(self.n_head) {
            let problem = "sizes must be above 0, and n_embd a multiple of n_head";
            return Err(LoadError::config(name, problem));
        }
        for (asked, field) in [
            (
                self.scale_attn_by_inverse_layer_idx,
                "scale_attn_by_inverse_layer_idx",
            ),
            (self.add_cross_attention, "add_cross_attention"),
        ] {
            if asked == Some(true) {
                return Err(LoadError::config(name, format!("{field} is not supported")));
            }
        }
        Ok(())
    }

    fn description(&self, name: &str, context: usize) -> Result<Description, LoadError> {
        let head_dim = self.n_embd / self.n_head;
        let activation = self.activation_function.as_deref().unwrap_or("gelu_new");
        Ok(Description {
            hidden: self.n_embd,
            heads: self.n_head,
            kv_heads: self.n_head,
            head_dim,
            attention_scale: match self.scale_attn_weights {
                Some(false) => 1.0,
                _ => (head_dim as f32).powf(-0.5),
            },
            vocab: self.vocab_size,
            context,
            norm: NormKind::Layer,
            norm_eps: self.layer_norm_epsilon.unwrap_or(1e-5),
            placement: Placement::Before,
            head_norm: false,
            feed_forward: FeedForward {
                inner: self.n_inner.unwrap_or(self.n_embd.saturating_mul(4)),
                activation: activation_named(name, activation)?,
                gated: false,
            },
            biases: BIASES,
            positions: Positions::Learned(self.n_positions),
            embedding_scale: None,
            tied_head: self.tie_word_embeddings.unwrap_or(true),
            logit_cap: None,
            layer_count: self.n_layer,
            kinds: vec![LayerKind::default()],
        })
    }
}

pub(super) fn from_config(
    files: &Files,
    name: &str,
    has: &dyn Fn(&str) -> bool,
    options: &LoadOptions,
) -> Result<Plan, LoadError> {
    let config: Option<Config> = files.json(name)?;
    let config = config.ok_or_else(|| LoadError::config(name, "it is absent"))?;
    config.check(name)?;
    let context = options.context(config.n_positions, LEAST_CONTEXT)?;
    let mut layout = LAYOUT;
    // The first files had no prefix.
    if !has(&layout.embedding_tensor()) {
        layout.prefix = "";
    }
    Ok(Plan {
        description: config.description(name, context)?,
        layout,
        // Causal masks, which old files hold too.
        ignored: |name| name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"),
    })
}

pub(super) fn from_gguf(
    metadata: &Metadata<'_>,
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Halves)?;
    let positions = metadata.number("context_length")?;
    description.positions = Positions::Learned(positions.unwrap_or(description.context));
    description.norm = NormKind::Layer;
    description.biases = BIASES;
    description.feed_forward.activation = Activation::GeluTanh;
    description.feed_forward.gated = false;
    Ok(Plan::new(description, GGUF))
}
