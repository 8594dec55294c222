//! Reads the weights of decoders out of GGUF files.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{Device, Tensor};

use super::gguf::Header;
use super::room::{cache_size, check_memory};
use super::{DtypeChoice, LoadError, LoadOptions, memory};
use crate::models::CausalLm;
use crate::models::llama::{LayerWeights, Llama, LlamaConfig, LlamaWeights};

/// Weights that take no more than this as f32 are widened: exact, and on processors faster, as
/// long as the caches and the memory bus keep up.
const WIDEN_UP_TO: u64 = 1 << 30;
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Loads a Llama decoder and the length of its logits.
///
/// # Errors
/// [`LoadError`]; [`LoadError::OutOfMemory`] where weights and a full cache would not fit.
pub(super) fn llama(
    header: &Header,
    bytes: &[u8],
    device: Device,
    options: &LoadOptions,
    least_context: usize,
    progress: &dyn Fn(u64, u64),
) -> Result<(Box<dyn CausalLm>, usize), LoadError> {
    let config = llama_config(header, options, least_context)?;
    let widened = Arithmetic::Widened.weight_bytes(header);
    let arithmetic = Arithmetic::of(widened, options.dtype);
    let available = memory::available().filter(|_| device.is_cpu());
    let weight_bytes = arithmetic.weight_bytes(header);
    if let Some(available) = available {
        check_memory(weight_bytes, &config, available)?;
    }
    let left = available.map(|available| available.saturating_sub(weight_bytes));
    let cache = cache_size(&config, options.sequences(), left);
    let source = Source {
        header,
        bytes,
        device: &device,
        arithmetic,
        progress,
        used: RefCell::default(),
        loaded: RefCell::default(),
    };
    let weights = llama_weights(&source, &config)?;
    source.check_all_used()?;
    let vocab = config.vocab;
    let llama = Llama::new(config, cache, weights, device)
        .map_err(|e| LoadError::weights(header.file(), e.to_string()))?;
    Ok((Box::new(llama), vocab))
}

/// How products with quantised weights are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    /// On the stored blocks, with what flows through the network rounded to 8 bits.
    AsStored,
    /// In f32, on weights that are widened when they are loaded.
    Widened,
}

impl Arithmetic {
    /// The one for weights that take `widened` bytes as f32.
    fn of(widened: u64, dtype: DtypeChoice) -> Self {
        if widened <= WIDEN_UP_TO || dtype == DtypeChoice::F32 {
            Self::Widened
        } else {
            Self::AsStored
        }
    }

    fn weight_bytes(self, header: &Header) -> u64 {
        match self {
            Self::AsStored => header.tensor_bytes(),
            Self::Widened => header.elements().saturating_mul(size_of::<f32>() as u64),
        }
    }
}

fn llama_config(
    header: &Header,
    options: &LoadOptions,
    least_context: usize,
) -> Result<LlamaConfig, LoadError> {
    let key = |name: &str| format!("llama.{name}");
    if header.number(&key("expert_count"))?.is_some_and(|n| n > 0) {
        return Err(header.wrong(
            &key("expert_count"),
            "is above 0; experts are not supported",
        ));
    }
    let scaling = key("rope.scaling.type");
    if header.text(&scaling)?.is_some_and(|kind| kind != "none") {
        return Err(header.wrong(&scaling, "must be `none`; others are not supported"));
    }
    let hidden = header.size(&key("embedding_length"))?;
    let heads = header.size(&key("attention.head_count"))?;
    let head_dim = header.number(&key("attention.key_length"))?;
    let head_dim = head_dim.unwrap_or(hidden / heads);
    let kv_heads = header.number(&key("attention.head_count_kv"))?;
    let kv_heads = kv_heads.unwrap_or(heads);
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || kv_heads > heads {
        return Err(header.wrong(
            &key("attention.head_count_kv"),
            "must divide the head count",
        ));
    }
    let turned = header.number(&key("rope.dimension_count"))?;
    if head_dim == 0 || head_dim % 2 == 1 || turned.is_some_and(|n| n != head_dim) {
        return Err(header.wrong(
            &key("rope.dimension_count"),
            "must be a head's length, and that even and above 0",
        ));
    }
    let epsilon = key("attention.layer_norm_rms_epsilon");
    let norm_eps = header.positive(&epsilon)?;
    Ok(LlamaConfig {
        layers: header.size(&key("block_count"))?,
        hidden,
        feed_forward: header.size(&key("feed_forward_length"))?,
        heads,
        kv_heads,
        head_dim,
        vocab: header.vocabulary()?,
        norm_eps: norm_eps.ok_or_else(|| header.wrong(&epsilon, "is missing"))? as f32,
        rope_base: header.positive(&key("rope.freq_base"))?.unwrap_or(10_000.0),
        context: options.context(header.size(&key("context_length"))?, least_context)?,
    })
}

impl Header {
    /// Rows of the embedding table.
    fn vocabulary(&self) -> Result<usize, LoadError> {
        match self.tensors().get(EMBEDDING).map(|t| t.shape.as_slice()) {
            Some(&[rows, _]) => Ok(rows),
            _ => Err(LoadError::weights(
                self.file(),
                format!("tensor `{EMBEDDING}` is missing or no matrix"),
            )),
        }
    }
}

/// Tensors of one file, each remembered when it is loaded.
struct Source<'a> {
    header: &'a Header,
    bytes: &'a [u8],
    device: &'a Device,
    arithmetic: Arithmetic,
    progress: &'a dyn Fn(u64, u64),
    used: RefCell<BTreeSet<String>>,
    loaded: RefCell<u64>,
}

impl Source<'_> {
    fn refuse(&self, name: &str, problem: impl std::fmt::Display) -> LoadError {
        LoadError::weights(self.header.file(), format!("tensor `{name}`: {problem}"))
    }

    fn load(&self, name: &str, shape: &[usize]) -> Result<QTensor, LoadError> {
        if let Some(info) = self.header.tensors().get(name) {
            if info.shape != shape {
                let found = &info.shape;
                let problem = format!("shape is {found:?}, the metadata ask for {shape:?}");
                return Err(self.refuse(name, problem));
            }
            *self.loaded.borrow_mut() += info.length();
        }
        let tensor = self.header.load(self.bytes, name, self.device)?;
        self.used.borrow_mut().insert(name.to_owned());
        (self.progress)(*self.loaded.borrow(), self.header.tensor_bytes());
        Ok(tensor)
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<QMatMul, LoadError> {
        let tensor = self.load(name, &[rows, columns])?;
        let matrix = match self.arithmetic {
            Arithmetic::Widened => tensor.dequantize(self.device).map(QMatMul::Tensor),
            Arithmetic::AsStored => QMatMul::from_qtensor(tensor),
        };
        matrix.map_err(|e| self.refuse(name, e))
    }

    fn vector(&self, name: &str, length: usize) -> Result<Tensor, LoadError> {
        self.load(name, &[length])?
            .dequantize(self.device)
            .map_err(|e| self.refuse(name, e))
    }

    /// A tensor that nothing used means that the model computes something that we do not.
    fn check_all_used(&self) -> Result<(), LoadError> {
        let used = self.used.borrow();
        match self.header.tensors().keys().find(|&n| !used.contains(n)) {
            Some(name) => Err(self.refuse(name, "this architecture is not known to have it")),
            None => Ok(()),
        }
    }
}

fn llama_weights(source: &Source<'_>, config: &LlamaConfig) -> Result<LlamaWeights, LoadError> {
    let LlamaConfig { hidden, vocab, .. } = *config;
    let has = |name: &str| source.header.tensors().contains_key(name);
    let embedding = source.matrix(EMBEDDING, vocab, hidden)?;
    let head = if has(HEAD) {
        source.matrix(HEAD, vocab, hidden)?
    } else {
        // The same weights serve both ends, and stay in memory once.
        embedding.clone()
    };
    let rope_factors = if has(ROPE_FACTORS) {
        Some(rope_factors(source, config.head_dim / 2)?)
    } else {
        None
    };
    let layers = (0..config.layers).map(|i| llama_layer(source, config, i));
    Ok(LlamaWeights {
        embedding,
        layers: layers.collect::<Result<_, _>>()?,
        norm: source.vector("output_norm.weight", hidden)?,
        head,
        rope_factors,
    })
}

fn rope_factors(source: &Source<'_>, length: usize) -> Result<Vec<f32>, LoadError> {
    let factors: Vec<f32> = source
        .vector(ROPE_FACTORS, length)?
        .to_vec1()
        .map_err(|e| source.refuse(ROPE_FACTORS, e))?;
    if factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
        return Err(source.refuse(ROPE_FACTORS, "its values must be above 0"));
    }
    Ok(factors)
}

fn llama_layer(
    source: &Source<'_>,
    config: &LlamaConfig,
    index: usize,
) -> Result<LayerWeights, LoadError> {
    let (hidden, inner) = (config.hidden, config.feed_forward);
    let wide = config.heads.saturating_mul(config.head_dim);
    let narrow = config.kv_heads.saturating_mul(config.head_dim);
    let name = |part: &str| format!("blk.{index}.{part}.weight");
    Ok(LayerWeights {
        attention_norm: source.vector(&name("attn_norm"), hidden)?,
        query: source.matrix(&name("attn_q"), wide, hidden)?,
        key: source.matrix(&name("attn_k"), narrow, hidden)?,
        value: source.matrix(&name("attn_v"), narrow, hidden)?,
        output: source.matrix(&name("attn_output"), hidden, wide)?,
        feed_forward_norm: source.vector(&name("ffn_norm"), hidden)?,
        gate: source.matrix(&name("ffn_gate"), inner, hidden)?,
        up: source.matrix(&name("ffn_up"), inner, hidden)?,
        down: source.matrix(&name("ffn_down"), hidden, inner)?,
    })
}

#[cfg(test)]
#[path = "../../tests/tiny/mod.rs"]
mod tiny;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Chunk;

    fn logits(arithmetic: Arithmetic) -> Vec<f32> {
        let bytes = tiny::llama().bytes();
        let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
        let config = llama_config(&header, &LoadOptions::default(), 2).expect("a configuration");
        let source = Source {
            header: &header,
            bytes: &bytes,
            device: &Device::Cpu,
            arithmetic,
            progress: &|_, _| {},
            used: RefCell::default(),
            loaded: RefCell::default(),
        };
        let weights = llama_weights(&source, &config).expect("weights");
        source.check_all_used().expect("no other tensors");
        let cache = cache_size(&config, 1, None);
        let mut llama = Llama::new(config, cache, weights, Device::Cpu).expect("a model");
        let chunk = Chunk {
            tokens: &[256, 97, 98],
            position: 0,
            blocks: &[0],
            writes: true,
        };
        let logits = llama.forward(&[chunk]).expect("logits");
        logits
            .squeeze(0)
            .and_then(|it| it.to_vec1())
            .expect("floats")
    }

    #[test]
    fn stored_and_widened_weights_give_the_same_but_for_8_bit_rounding() {
        let (stored, widened) = (logits(Arithmetic::AsStored), logits(Arithmetic::Widened));
        let scale = widened.iter().fold(0f32, |most, x| most.max(x.abs()));
        let moved = stored.iter().zip(&widened).map(|(a, b)| (a - b).abs());
        let moved = moved.fold(0f32, f32::max);
        assert!(moved > 0.0, "they are the same arithmetic");
        assert!(moved < 0.03 * scale, "{moved} of {scale}");
    }

    #[test]
    fn small_weights_are_widened_and_large_ones_on_demand() {
        let chosen = |bytes, dtype| Arithmetic::of(bytes, dtype);
        let (small, large) = (WIDEN_UP_TO, WIDEN_UP_TO + 1);
        assert_eq!(chosen(small, DtypeChoice::Auto), Arithmetic::Widened);
        assert_eq!(chosen(large, DtypeChoice::Auto), Arithmetic::AsStored);
        assert_eq!(chosen(large, DtypeChoice::F32), Arithmetic::Widened);
    }

    #[test]
    fn weights_are_counted_as_they_will_be_held() {
        let bytes = tiny::llama().bytes();
        let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
        let matrices = 32 * (259 + 32 + 16 + 16 + 32 + 3 * 64);
        let norms = 3 * 32;
        let widened = Arithmetic::Widened.weight_bytes(&header);
        assert_eq!(widened, 4 * (matrices + norms));
        // 20 bytes a block of 32.
        let stored = Arithmetic::AsStored.weight_bytes(&header);
        assert_eq!(stored, matrices / 32 * 20 + norms * 4);
    }
}
