//! Models of a few kilobytes, written byte by byte, for tests of loading.

// Each test binary uses some of these.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(crate) const GGUF: &str = "tiny.gguf";
const HIDDEN: u64 = 32;
const VOCAB: u64 = 259;
const Q4_1: u32 = 3;
const F32: u32 = 0;

/// A GGUF file in parts, to be changed before it is written.
pub(crate) struct Gguf {
    /// Key, then the value's type and bytes.
    pub(crate) metadata: Vec<(String, Vec<u8>)>,
    /// Name, shape (innermost first), type, data.
    pub(crate) tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn text_value(value: &str) -> Vec<u8> {
    [8u32.to_le_bytes().to_vec(), text(value)].concat()
}

pub(crate) fn u32_value(value: u32) -> Vec<u8> {
    [4u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub(crate) fn bool_value(value: bool) -> Vec<u8> {
    [7u32.to_le_bytes().to_vec(), vec![u8::from(value)]].concat()
}

pub(crate) fn f32_value(value: f32) -> Vec<u8> {
    [6u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub(crate) fn array(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = 9u32.to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend((items.len() as u64).to_le_bytes());
    bytes.extend(items.concat());
    bytes
}

/// The character that byte-level vocabularies write for a byte.
fn byte_character(byte: u32) -> char {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let code = match printable(byte) {
        true => byte,
        false => 0x100 + (0..byte).filter(|&b| !printable(b)).count() as u32,
    };
    char::from_u32(code).expect("a character")
}

fn vocabulary() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut tokens: Vec<_> = (0..256).map(|b| byte_character(b).to_string()).collect();
    tokens.extend(["<s>".to_owned(), "</s>".to_owned(), "ab".to_owned()]);
    let kinds = (0..tokens.len()).map(|i| if i == 256 || i == 257 { 3i32 } else { 1 });
    let kinds = kinds.map(|kind| kind.to_le_bytes().to_vec()).collect();
    (tokens.iter().map(|t| text(t)).collect(), kinds)
}

/// Numbers that look random and are the same each time.
fn noise(seed: u64, count: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
}

/// Blocks of 32 weights: scale and minimum as halves, then 16 bytes of two weights each.
fn q4_1(seed: u64, values: u64) -> Vec<u8> {
    let (scale, minimum) = (0x2800u16, 0xa400u16); // 1/32 and -1/64
    let block = |b: u64| {
        let mut bytes = [scale.to_le_bytes(), minimum.to_le_bytes()].concat();
        bytes.extend(noise(seed + b, 16).map(|n| n as u8));
        bytes
    };
    (0..values / 32).flat_map(block).collect()
}

fn ones(count: u64) -> Vec<u8> {
    (0..count).flat_map(|_| 1f32.to_le_bytes()).collect()
}

/// A Llama of one layer over bytes, which chats by a template of one line.
pub(crate) fn llama() -> Gguf {
    let (tokens, kinds) = vocabulary();
    let metadata = [
        ("general.architecture", text_value("llama")),
        ("llama.block_count", u32_value(1)),
        ("llama.context_length", u32_value(64)),
        ("llama.embedding_length", u32_value(HIDDEN as u32)),
        ("llama.feed_forward_length", u32_value(64)),
        ("llama.attention.head_count", u32_value(2)),
        ("llama.attention.head_count_kv", u32_value(1)),
        ("llama.attention.layer_norm_rms_epsilon", f32_value(1e-5)),
        ("tokenizer.ggml.model", text_value("gpt2")),
        ("tokenizer.ggml.pre", text_value("smollm")),
        ("tokenizer.ggml.tokens", array(8, &tokens)),
        ("tokenizer.ggml.token_type", array(5, &kinds)),
        ("tokenizer.ggml.merges", array(8, &[text("a b")])),
        ("tokenizer.ggml.bos_token_id", u32_value(256)),
        ("tokenizer.ggml.eos_token_id", u32_value(257)),
        ("tokenizer.ggml.add_bos_token", bool_value(true)),
        (
            "tokenizer.chat_template",
            text_value("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"),
        ),
    ];
    let matrices = [
        ("token_embd", HIDDEN, VOCAB),
        ("blk.0.attn_q", HIDDEN, HIDDEN),
        ("blk.0.attn_k", HIDDEN, 16),
        ("blk.0.attn_v", HIDDEN, 16),
        ("blk.0.attn_output", HIDDEN, HIDDEN),
        ("blk.0.ffn_gate", HIDDEN, 64),
        ("blk.0.ffn_up", HIDDEN, 64),
        ("blk.0.ffn_down", 64, HIDDEN),
    ];
    let mut tensors = Vec::new();
    for (seed, (name, inputs, outputs)) in (0..).zip(matrices) {
        let data = q4_1(seed * 10_000, inputs * outputs);
        tensors.push((format!("{name}.weight"), vec![inputs, outputs], Q4_1, data));
    }
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        tensors.push((format!("{name}.weight"), vec![HIDDEN], F32, ones(HIDDEN)));
    }
    Gguf {
        metadata: metadata.map(|(k, v)| (k.to_owned(), v)).to_vec(),
        tensors,
    }
}

impl Gguf {
    /// Replaces or adds an entry of the metadata.
    pub(crate) fn with(mut self, key: &str, value: Vec<u8>) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.tensors.retain(|tensor| tensor.0 != key);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        let mut offset = 0;
        for (name, shape, kind, data) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend((shape.len() as u32).to_le_bytes());
            bytes.extend(shape.iter().flat_map(|n| n.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset = (offset + data.len()).next_multiple_of(32);
        }
        for (_, _, _, data) in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(data);
        }
        bytes
    }
}

/// Writes `files` below `root` and gives their names.
pub(crate) fn write(root: &Path, files: &[(&str, Vec<u8>)]) -> Vec<PathBuf> {
    let names = files.iter().map(|(name, bytes)| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
        PathBuf::from(name)
    });
    names.collect()
}

/// The files of a BERT of one layer over five words, which is mean-pooled and normalised.
pub(crate) fn bert() -> Vec<(&'static str, Vec<u8>)> {
    let config = json!({
        "model_type": "bert", "vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
    });
    let modules = json!([
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
    ]);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "?": 4},
                  "unk_token": "?"},
    });
    let pooling = json!({"pooling_mode_mean_tokens": true});
    vec![
        ("config.json", config.to_string().into()),
        ("modules.json", modules.to_string().into()),
        ("1_Pooling/config.json", pooling.to_string().into()),
        ("tokenizer.json", tokenizer.to_string().into()),
        ("model.safetensors", safetensors(bert_tensors())),
    ]
}

/// The files of a classifier with the network of [`bert`] and three labels, of which one is true.
pub(crate) fn classifier() -> Vec<(&'static str, Vec<u8>)> {
    let encoder = bert_tensors().into_iter();
    let mut tensors: Vec<_> = encoder
        .map(|(n, shape)| (format!("bert.{n}"), shape))
        .collect();
    for (name, outputs) in [("bert.pooler.dense", 8), ("classifier", 3)] {
        tensors.push((format!("{name}.weight"), vec![outputs, 8]));
        tensors.push((format!("{name}.bias"), vec![outputs]));
    }
    let mut files = bert();
    files.retain(|(name, _)| ["config.json", "tokenizer.json"].contains(name));
    let mut config: Value = serde_json::from_slice(&files[0].1).expect("JSON");
    config["architectures"] = json!(["BertForSequenceClassification"]);
    config["id2label"] = json!({"0": "good", "1": "bad", "2": "ugly"});
    files[0].1 = config.to_string().into();
    files.push(("model.safetensors", safetensors(tensors)));
    files
}

/// Names and shapes.
type Tensors = Vec<(String, Vec<u64>)>;

fn bert_tensors() -> Tensors {
    let mut shapes = Tensors::new();
    let tables = [("word", 5), ("position", 12), ("token_type", 2)];
    for (name, rows) in tables {
        shapes.push((
            format!("embeddings.{name}_embeddings.weight"),
            vec![rows, 8],
        ));
    }
    let layer = "encoder.layer.0";
    let linears = [
        ("attention.self.query", 8, 8),
        ("attention.self.key", 8, 8),
        ("attention.self.value", 8, 8),
        ("attention.output.dense", 8, 8),
        ("intermediate.dense", 16, 8),
        ("output.dense", 8, 16),
    ];
    for (name, outputs, inputs) in linears {
        shapes.push((format!("{layer}.{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{layer}.{name}.bias"), vec![outputs]));
    }
    for at in [
        "embeddings",
        "encoder.layer.0.attention.output",
        "encoder.layer.0.output",
    ] {
        shapes.push((format!("{at}.LayerNorm.weight"), vec![8]));
        shapes.push((format!("{at}.LayerNorm.bias"), vec![8]));
    }
    shapes
}

/// A file of these tensors, whose values look random.
fn safetensors(tensors: Tensors) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (seed, (name, shape)) in (0u64..).zip(tensors) {
        let start = data.len();
        let values = noise(seed, shape.iter().product());
        data.extend(values.flat_map(|n| ((n % 2000) as f32 / 1000.0 - 1.0).to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &data].concat()
}
