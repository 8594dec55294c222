//! Decoders in safetensors files beside a `config.json`, as the transformers package writes them.

use serde::Deserialize;
use serde_json::Value;

use super::LEAST_CONTEXT;
use super::rope::RopeFile;
use crate::load::{LoadError, LoadOptions, activation_named};
use crate::models::decoder::{Description, LayerKind, MAX_HEAD_DIM, Sizes};

/// More layers than any model has.
const MAX_LAYERS: usize = 4096;
const SLIDING: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// What the families that came after Llama write into their `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: f32,
    pub(super) hidden_activation: Option<String>,
    pub(super) hidden_act: Option<String>,
    pub(super) tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub(super) attention_bias: bool,
    #[serde(default)]
    pub(super) mlp_bias: bool,
    pub(super) sliding_window: Option<usize>,
    pub(super) use_sliding_window: Option<bool>,
    pub(super) max_window_layers: Option<usize>,
    pub(super) layer_types: Option<Vec<String>>,
    pub(super) sliding_window_pattern: Option<usize>,
    // Newer files hold one of these for all of the rotation, older ones the others.
    pub(super) rope_parameters: Option<Value>,
    pub(super) rope_scaling: Option<Value>,
    pub(super) rope_theta: Option<f64>,
    pub(super) rope_local_base_freq: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) original_max_position_embeddings: Option<usize>,
    pub(super) query_pre_attn_scalar: Option<f64>,
    pub(super) final_logit_softcapping: Option<f32>,
    pub(super) attn_logit_softcapping: Option<f32>,
    pub(super) use_bidirectional_attention: Option<bool>,
}

/// What a family's reader is given.
pub(super) struct Checkpoint<'a> {
    /// The configuration's name, for errors.
    pub(super) name: &'a str,
    pub(super) config: Config,
    pub(super) options: &'a LoadOptions,
}

impl Checkpoint<'_> {
    /// The error that the configuration cannot be used.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> LoadError {
        LoadError::config(self.name, problem)
    }

    /// A Llama of these sizes; families change what else differs. `head_dim` is the length of a head where
    /// the file does not say it, `tied` whether the output matrix is the embedding table then.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`], and those of [`LoadOptions::context`].
    pub(super) fn description(
        &self,
        head_dim: Option<usize>,
        tied: bool,
    ) -> Result<Description, LoadError> {
        let config = &self.config;
        let heads = config.num_attention_heads;
        let kv_heads = config.num_key_value_heads.unwrap_or(heads);
        let head_dim = config.head_dim.or(head_dim);
        let head_dim = head_dim.unwrap_or(config.hidden_size.checked_div(heads).unwrap_or(0));
        self.check_sizes(heads, kv_heads, head_dim)?;
        let limit = config.max_position_embeddings;
        let context = self.options.context(limit, LEAST_CONTEXT)?;
        let rotary = self.rope(None)?.rotary(head_dim, context);
        let rotary = rotary.map_err(|problem| self.wrong(problem))?;
        let sizes = Sizes {
            hidden: config.hidden_size,
            heads,
            kv_heads,
            head_dim,
            inner: config.intermediate_size,
            vocab: config.vocab_size,
            context,
            layers: config.num_hidden_layers,
        };
        let tied = config.tie_word_embeddings.unwrap_or(tied);
        let mut description = Description::llama(sizes, config.rms_norm_eps, rotary, tied);
        // Gemma's name of it comes first where a file has both.
        let named = config.hidden_activation.as_deref();
        if let Some(name) = named.or(config.hidden_act.as_deref()) {
            description.feed_forward.activation = activation_named(self.name, name)?;
        }
        Ok(description)
    }

    fn check_sizes(&self, heads: usize, kv_heads: usize, head_dim: usize) -> Result<(), LoadError> {
        let config = &self.config;
        let sizes = [
            config.vocab_size,
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
            config.max_position_embeddings,
            heads,
            kv_heads,
            head_dim,
        ];
        let layers = config.num_hidden_layers;
        if sizes.contains(&0) || layers > MAX_LAYERS || head_dim > MAX_HEAD_DIM {
            return Err(self.wrong(format!(
                "sizes must be above 0, layers at most {MAX_LAYERS}, and a head's length at most {MAX_HEAD_DIM}"
            )));
        }
        if !heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) {
            let problem =
                "num_key_value_heads must divide num_attention_heads, and a head's length be even";
            return Err(self.wrong(problem));
        }
        if !(config.rms_norm_eps.is_finite() && config.rms_norm_eps > 0.0) {
            return Err(self.wrong("rms_norm_eps must be above 0"));
        }
        if config.sliding_window == Some(0) {
            return Err(self.wrong("sliding_window must be above 0"));
        }
        Ok(())
    }

    /// What the file says of the rotation, for layers of this kind where it tells them apart.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`].
    pub(super) fn rope(&self, kind: Option<&str>) -> Result<RopeFile, LoadError> {
        let config = &self.config;
        let file = config.rope_parameters.as_ref();
        let file = file.or(config.rope_scaling.as_ref());
        let nested = kind.and_then(|kind| file?.get(kind));
        let mut rope: RopeFile = match nested.or(file) {
            None | Some(Value::Null) => RopeFile::default(),
            Some(file) => RopeFile::deserialize(file)
                .map_err(|e| self.wrong(format!("its rope parameters: {e}")))?,
        };
        rope.complete(config);
        Ok(rope)
    }

    /// In which layers the window slides: where `layer_types` says so, else where `slides` does.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`].
    pub(super) fn sliding(&self, slides: impl Fn(usize) -> bool) -> Result<Vec<bool>, LoadError> {
        let count = self.config.num_hidden_layers;
        let Some(types) = &self.config.layer_types else {
            return Ok((0..count).map(slides).collect());
        };
        if types.len() != count {
            let problem = format!("it has {count} layers and {} layer_types", types.len());
            return Err(self.wrong(problem));
        }
        let slides = types.iter().map(|kind| match kind.as_str() {
            SLIDING => Ok(true),
            FULL => Ok(false),
            other => Err(self.wrong(format!(
                "layer type `{other}` is not supported; known are {FULL} and {SLIDING}"
            ))),
        });
        slides.collect()
    }

    /// The kinds of layers where a window of `sliding_window` tokens slides in some.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`].
    pub(super) fn windows(
        &self,
        slides: impl Fn(usize) -> bool,
    ) -> Result<Vec<LayerKind>, LoadError> {
        let kinds = self.sliding(slides)?.into_iter().map(|slides| LayerKind {
            window: self.config.sliding_window.filter(|_| slides),
            rotary: 0,
        });
        Ok(kinds.collect())
    }
}
