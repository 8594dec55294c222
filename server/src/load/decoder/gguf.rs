//! Decoders in GGUF files: their metadata and their tensors, as llama.cpp writes them.

use std::ops::Range;

use candle_core::Device;

use super::LEAST_CONTEXT;
use super::store::Store;
use crate::load::gguf::{Header, TensorInfo, Value};
use crate::load::{LoadError, LoadOptions};
use crate::models::decoder::{Description, LayerKind, MAX_HEAD_DIM, Pairs, Rotary, Sizes};
use crate::models::matrix::Stored;

/// Where a model says nothing else.
const ROPE_BASE: f64 = 10_000.0;

/// A file's tensors.
pub(super) struct GgufStore<'a> {
    pub(super) header: &'a Header,
    /// Of the whole file.
    pub(super) bytes: &'a [u8],
    pub(super) device: &'a Device,
}

impl Store for GgufStore<'_> {
    fn file(&self, _: &str) -> &str {
        self.header.file()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let info = self.header.tensors().get(name)?;
        Some(info.shape.clone())
    }

    fn bytes(&self, name: &str) -> u64 {
        let info = self.header.tensors().get(name);
        info.map_or(0, TensorInfo::length)
    }

    fn names(&self) -> Vec<&str> {
        self.header.tensors().keys().map(String::as_str).collect()
    }

    fn load(&self, name: &str, part: Range<usize>) -> Result<Stored, String> {
        let tensor = self.header.load(self.bytes, name, part, self.device)?;
        Ok(Stored::Blocks(tensor))
    }
}

/// The metadata of a file, under the names of its architecture.
pub(super) struct Metadata<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(header: &'a Header, architecture: &'a str) -> Self {
        Self {
            header,
            architecture,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// The error that a key of this architecture cannot be used.
    pub(super) fn wrong(&self, name: &str, problem: &str) -> LoadError {
        self.header.wrong(&self.key(name), problem)
    }

    pub(super) fn has_tensor(&self, name: &str) -> bool {
        self.header.tensors().contains_key(name)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, LoadError> {
        self.header.number(&self.key(name))
    }

    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, LoadError> {
        self.header.positive(&self.key(name))
    }

    /// A Llama with what the file says of sizes; families change what else differs.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`] for keys that are missing, malformed or not supported.
    pub(super) fn description(
        &self,
        options: &LoadOptions,
        pairs: Pairs,
    ) -> Result<Description, LoadError> {
        let size = |name: &str| self.header.size(&self.key(name));
        if self.number("expert_count")?.is_some_and(|n| n > 0) {
            let problem = "is above 0; experts are not supported";
            return Err(self.wrong("expert_count", problem));
        }
        let hidden = size("embedding_length")?;
        let heads = size("attention.head_count")?;
        let head_dim = self.number("attention.key_length")?;
        let head_dim = head_dim.unwrap_or(hidden / heads);
        if head_dim == 0 || head_dim > MAX_HEAD_DIM {
            let problem = format!("must be above 0 and at most {MAX_HEAD_DIM}");
            return Err(self.wrong("attention.key_length", &problem));
        }
        let kv_heads = self.number("attention.head_count_kv")?.unwrap_or(heads);
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || kv_heads > heads {
            let problem = "must divide the head count";
            return Err(self.wrong("attention.head_count_kv", problem));
        }
        let rotary = self.rotary(pairs, head_dim)?;
        let sizes = Sizes {
            hidden,
            heads,
            kv_heads,
            head_dim,
            inner: size("feed_forward_length")?,
            vocab: self.vocabulary()?,
            context: options.context(size("context_length")?, LEAST_CONTEXT)?,
            layers: size("block_count")?,
        };
        let tied = !self.has_tensor("output.weight");
        let mut description = Description::llama(sizes, self.norm_eps()?, rotary, tied);
        description.kinds = vec![LayerKind {
            window: self.window()?,
            rotary: 0,
        }];
        Ok(description)
    }

    /// Tokens of the sliding window; files write 0 where there is none.
    pub(super) fn window(&self) -> Result<Option<usize>, LoadError> {
        let window = self.number("attention.sliding_window")?;
        Ok(window.filter(|&tokens| tokens > 0))
    }

    /// In which layers the window slides: not in every n-th, or where the file lists it.
    pub(super) fn window_pattern(&self, period: usize) -> Result<Vec<bool>, LoadError> {
        let name = "attention.sliding_window_pattern";
        let by_period = |period: usize| (1..=period).map(|at| at < period).collect();
        match self.header.value(&self.key(name)) {
            None => Ok(by_period(period)),
            Some(Value::Int(n @ 1..=1024)) => Ok(by_period(*n as usize)),
            Some(Value::Ints(slides)) if !slides.is_empty() => {
                Ok(slides.iter().map(|&slides| slides != 0).collect())
            }
            Some(_) => Err(self.wrong(name, "must be a number up to 1024 or an array of booleans")),
        }
    }

    fn norm_eps(&self) -> Result<f32, LoadError> {
        let rms = self.positive("attention.layer_norm_rms_epsilon")?;
        let eps = match rms {
            Some(eps) => Some(eps),
            None => self.positive("attention.layer_norm_epsilon")?,
        };
        let missing = || self.wrong("attention.layer_norm_rms_epsilon", "is missing");
        Ok(eps.ok_or_else(missing)? as f32)
    }

    /// The rotation of all layers, with the scaling that the file asks for.
    fn rotary(&self, pairs: Pairs, head_dim: usize) -> Result<Rotary, LoadError> {
        let turned = self.number("rope.dimension_count")?.unwrap_or(head_dim);
        if turned == 0 || turned % 2 == 1 || turned > head_dim {
            return Err(self.wrong(
                "rope.dimension_count",
                "must be even, above 0 and at most a head's length",
            ));
        }
        let base = self.positive("rope.freq_base")?.unwrap_or(ROPE_BASE);
        let mut rotary = Rotary::new(pairs, turned, base);
        let scaling = self.header.text(&self.key("rope.scaling.type"))?;
        match scaling {
            None | Some("none") => {}
            Some("linear") => {
                let factor = self.positive("rope.scaling.factor")?.unwrap_or(1.0);
                rotary.divide(vec![factor; turned / 2]);
            }
            Some(_) => {
                let problem = "must be `none` or `linear`; others are not supported";
                return Err(self.wrong("rope.scaling.type", problem));
            }
        }
        Ok(rotary)
    }

    /// What a tensor says that frequencies are divided by; `bytes` is all of the file.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`] where it does not hold so many numbers above 0.
    pub(super) fn factors(
        &self,
        bytes: &[u8],
        name: &str,
        count: usize,
    ) -> Result<Vec<f64>, LoadError> {
        let refuse = |problem: String| {
            LoadError::weights(self.header.file(), format!("tensor `{name}` {problem}"))
        };
        let tensor = self.header.load(bytes, name, 0..count, &Device::Cpu);
        let floats = tensor.map_err(refuse)?.dequantize(&Device::Cpu);
        let floats: candle_core::Result<Vec<f32>> = floats.and_then(|it| it.to_vec1());
        let floats = floats.map_err(|e| refuse(e.to_string()))?;
        if floats.iter().any(|f| !f.is_finite() || *f <= 0.0) {
            return Err(refuse("must hold numbers above 0".to_owned()));
        }
        Ok(floats.into_iter().map(f64::from).collect())
    }

    /// Rows of the embedding table.
    fn vocabulary(&self) -> Result<usize, LoadError> {
        const EMBEDDING: &str = "token_embd.weight";
        let info = self.header.tensors().get(EMBEDDING);
        match info.map(|info| info.shape.as_slice()) {
            Some(&[rows, _]) => Ok(rows),
            _ => Err(LoadError::weights(
                self.header.file(),
                format!("tensor `{EMBEDDING}` is missing or no matrix"),
            )),
        }
    }
}
