//! Tiny models that `make.py` knows the logits of, written as files.

use std::collections::BTreeMap;
use std::path::Path;

use chandler_server::load::{LoadError, LoadOptions, LoadedModel, TextModel, load};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny;

/// What the logits of a fixture are whole numbers of.
pub(crate) const UNIT: f32 = 1e-4;

#[derive(Clone, Deserialize)]
pub(crate) struct Fixture {
    pub(crate) config: Value,
    /// Shapes by name.
    pub(crate) tensors: BTreeMap<String, Vec<usize>>,
    pub(crate) rope_freqs: Option<Vec<f32>>,
    pub(crate) sequences: Vec<Sequence>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    /// The first position whose logits are known.
    from: usize,
    logits: Vec<Vec<i32>>,
}

impl Sequence {
    /// The logits after the token at `position`, where they are known.
    pub(crate) fn logits(&self, position: usize) -> Option<Vec<f32>> {
        let row = self.logits.get(position.checked_sub(self.from)?)?;
        Some(row.iter().map(|&n| n as f32 * UNIT).collect())
    }
}

/// How floats are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// The bytes of a number that has no more bits than each type, and is not too small for any.
    fn bytes(self, value: f32) -> Vec<u8> {
        let bits = value.to_bits();
        let half = match self {
            Self::F32 => return bits.to_le_bytes().to_vec(),
            Self::Bf16 => (bits >> 16) as u16,
            Self::F16 if value == 0.0 => 0,
            Self::F16 => {
                let exponent = ((bits >> 23) & 0xff) + 15 - 127;
                let rest = (exponent << 10) | ((bits >> 13) & 0x3ff);
                ((bits >> 16) & 0x8000) as u16 | rest as u16
            }
        };
        half.to_le_bytes().to_vec()
    }
}

/// The values of a tensor, by the rule of `make.py`.
pub(crate) fn weights(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let part = name.rsplit('.').nth(1).expect("a dot");
    let scale = part.to_lowercase().contains("norm") || part.starts_with("ln_");
    let is_scale = scale && name.ends_with(".weight");
    let count = shape.iter().product::<usize>() as u64;
    let values = (1..=count).map(|at| {
        let x = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = ((x ^ (x >> 31)) >> 56) as i32 - 128;
        match is_scale {
            true => 1.0 + (number >> 1) as f32 / 128.0,
            false => number as f32 / 512.0,
        }
    });
    values.collect()
}

pub(crate) fn fixture(name: &str) -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let text = std::fs::read(path.join(format!("{name}.json"))).expect("a fixture");
    serde_json::from_slice(&text).expect("a fixture")
}

/// A tokenizer of the words `t0`, `t1` and so on.
pub(crate) fn tokenizer(vocab: usize) -> Value {
    let vocabulary: BTreeMap<String, usize> = (0..vocab).map(|id| (format!("t{id}"), id)).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"},
    })
}

/// A safetensors file of these tensors.
pub(crate) fn safetensors(tensors: &BTreeMap<String, Vec<usize>>, dtype: Dtype) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape) in tensors {
        let start = data.len();
        // Files may lack the prefix; the values follow from the whole name.
        data.extend(
            weights(name, shape)
                .into_iter()
                .flat_map(|x| dtype.bytes(x)),
        );
        let offsets = [start, data.len()];
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &data].concat()
}

impl Fixture {
    pub(crate) fn vocab(&self) -> usize {
        self.config["vocab_size"].as_u64().expect("a size") as usize
    }

    /// A number of the configuration.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.config[key].as_f64()
    }

    /// The files of the model as a folder.
    pub(crate) fn files(&self, dtype: Dtype) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("config.json", self.config.to_string().into()),
            ("tokenizer.json", tokenizer(self.vocab()).to_string().into()),
            ("model.safetensors", safetensors(&self.tensors, dtype)),
        ]
    }
}

pub(crate) fn attempt(
    files: &[(&str, Vec<u8>)],
    options: &LoadOptions,
) -> Result<LoadedModel, LoadError> {
    let root = TempDir::new().expect("a folder");
    let names = tiny::write(root.path(), files);
    load(root.path(), &names, options, &|_, _| {})
}

/// Loads the model that these files hold.
pub(crate) fn model(files: &[(&str, Vec<u8>)]) -> TextModel {
    model_with(files, &LoadOptions::default())
}

pub(crate) fn model_with(files: &[(&str, Vec<u8>)], options: &LoadOptions) -> TextModel {
    match attempt(files, options).expect("a model") {
        LoadedModel::Text(model) => model,
        _ => panic!("a model of the wrong kind"),
    }
}
