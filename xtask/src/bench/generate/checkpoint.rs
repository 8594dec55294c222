//! A folder with random floats in the shape of a Qwen2 of half a billion weights.
//!
//! Its tokenizer knows words `t0`, `t1` and so on, so that a word is a token.

use crate::bench::random::Random;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const LAYERS: usize = 24;
const HIDDEN: usize = 896;
const INNER: usize = 4864;
const HEADS: usize = 14;
const KV_HEADS: usize = 2;
const VOCAB: usize = 151_936;

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Dtype {
    F32,
    Bf16,
}

impl Dtype {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// What safetensors and transformers call it.
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::F32 => ["F32", "float32"],
            Self::Bf16 => ["BF16", "bfloat16"],
        }
    }
}

/// The folder, written where it isn't there yet.
///
/// # Errors
/// When it can't be written.
pub(in crate::bench) fn folder(dtype: Dtype) -> Result<PathBuf> {
    let [_, name] = dtype.names();
    let folder = layout::root().join(format!("target/bench/qwen2-0.5b-random-{name}"));
    // Written last.
    let config = folder.join("config.json");
    if config.is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    write_weights(&folder.join("model.safetensors"), dtype)?;
    fs::write(folder.join("tokenizer.json"), tokenizer().to_string())?;
    fs::write(config, self::config(name).to_string())?;
    Ok(folder)
}

fn config(dtype: &str) -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "dtype": dtype,
        "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "hidden_act": "silu", "tie_word_embeddings": true,
    })
}

fn tokenizer() -> Value {
    let words: Map<String, Value> = (0..VOCAB).map(|id| (format!("t{id}"), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "t0"},
    })
}

/// Names and shapes, as transformers has them.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let keys = HIDDEN / HEADS * KV_HEADS;
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts = [
            ("input_layernorm.weight", vec![HIDDEN]),
            ("post_attention_layernorm.weight", vec![HIDDEN]),
            ("self_attn.q_proj.weight", vec![HIDDEN, HIDDEN]),
            ("self_attn.q_proj.bias", vec![HIDDEN]),
            ("self_attn.k_proj.weight", vec![keys, HIDDEN]),
            ("self_attn.k_proj.bias", vec![keys]),
            ("self_attn.v_proj.weight", vec![keys, HIDDEN]),
            ("self_attn.v_proj.bias", vec![keys]),
            ("self_attn.o_proj.weight", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj.weight", vec![INNER, HIDDEN]),
            ("mlp.up_proj.weight", vec![INNER, HIDDEN]),
            ("mlp.down_proj.weight", vec![HIDDEN, INNER]),
        ];
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        tensors.extend(parts.map(|(part, shape)| (name(part), shape)));
    }
    tensors
}

fn write_weights(path: &Path, dtype: Dtype) -> Result<()> {
    let tensors = tensors();
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in &tensors {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bytes();
        let [kind, _] = dtype.names();
        let entry = json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut random = Random::new();
    for (_, shape) in &tensors {
        out.write_all(&data(shape, dtype, &mut random))?;
    }
    Ok(out.flush()?)
}

/// Matrices of numbers up to 1/16 either way, and vectors of ones.
fn data(shape: &[usize], dtype: Dtype, random: &mut Random) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut bytes = vec![0u8; count];
    random.fill(&mut bytes);
    let number = |byte: u8| match shape.len() {
        1 => 1.0,
        _ => (f32::from(byte) - 127.5) / 2048.0,
    };
    let numbers = bytes.into_iter().map(number);
    match dtype {
        Dtype::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
        // The upper half: rounded towards zero, which is as good as any other random number.
        Dtype::Bf16 => numbers
            .flat_map(|number| ((number.to_bits() >> 16) as u16).to_le_bytes())
            .collect(),
    }
}
