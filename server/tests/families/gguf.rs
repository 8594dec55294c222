//! The fixtures as llama.cpp's converter writes them.

use serde_json::Value;

use crate::fixture::{Fixture, weights};
use crate::tiny::{Gguf, array, f32_value, text, text_value, u32_value};

/// What a tensor's name has in a checkpoint, and in a GGUF file.
const NAMES: [(&str, &str); 22] = [
    ("model.embed_tokens", "token_embd"),
    ("transformer.wte", "token_embd"),
    ("transformer.wpe", "position_embd"),
    ("model.norm", "output_norm"),
    ("transformer.ln_f", "output_norm"),
    ("lm_head", "output"),
    ("model.layers.", "blk."),
    ("transformer.h.", "blk."),
    ("input_layernorm", "attn_norm"),
    ("ln_1", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("attn.c_attn", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("attn.c_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.up_proj", "ffn_up"),
];
const MORE_NAMES: [(&str, &str); 4] = [
    ("mlp.c_fc", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.c_proj", "ffn_down"),
    ("ln_2", "ffn_norm"),
];
/// These differ by what a layer's norms are for.
const NORMS: [(&str, &str); 1] = [("post_attention_layernorm", "ffn_norm")];
const GEMMA_NORMS: [(&str, &str); 3] = [
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
];
const F32: u32 = 0;

fn renamed(name: &str, architecture: &str) -> String {
    let norms: &[_] = match architecture {
        "gemma3" => &GEMMA_NORMS,
        _ => &NORMS,
    };
    let all = NAMES.iter().chain(&MORE_NAMES).chain(norms);
    all.fold(name.to_owned(), |name, (old, new)| name.replace(old, new))
}

/// Rows of heads whose halves rotate together, put so that neighbours do.
fn interleaved(values: &[f32], heads: usize, row: usize) -> Vec<f32> {
    let dim = values.len() / row / heads;
    let half = dim / 2;
    let rows =
        (0..heads).flat_map(|head| (0..dim).map(move |at| head * dim + at % 2 * half + at / 2));
    rows.flat_map(|at| values[at * row..(at + 1) * row].to_vec())
        .collect()
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let order = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    order.map(|at| values[at]).collect()
}

/// A tensor's shape, outermost dimension first, and its values.
fn converted(
    fixture: &Fixture,
    architecture: &str,
    name: &str,
    shape: &[usize],
) -> (Vec<usize>, Vec<f32>) {
    let values = weights(name, shape);
    let row = shape.get(1).copied().unwrap_or(1);
    let size = |key: &str| fixture.number(key).expect("a size") as usize;
    match architecture {
        "llama" if name.contains("q_proj") => {
            let heads = size("num_attention_heads");
            (shape.to_vec(), interleaved(&values, heads, row))
        }
        "llama" if name.contains("k_proj") => {
            let heads = size("num_key_value_heads");
            (shape.to_vec(), interleaved(&values, heads, row))
        }
        "gpt2" if name.contains(".c_") && shape.len() == 2 => {
            (vec![shape[1], shape[0]], transposed(&values, shape[1]))
        }
        "gemma3" if name.contains("norm") => {
            // No key says what scores are divided by, where it is not a head's length.
            let divisor = fixture.number("query_pre_attn_scalar").expect("a number");
            let factor = match name.contains("q_norm") {
                true => (size("head_dim") as f64 / divisor).sqrt() as f32,
                false => 1.0,
            };
            let values = values.iter().map(|x| (x + 1.0) * factor);
            (shape.to_vec(), values.collect())
        }
        _ => (shape.to_vec(), values),
    }
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> (String, Vec<u64>, u32, Vec<u8>) {
    let shape = shape.iter().rev().map(|&n| n as u64).collect();
    let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    (name.to_owned(), shape, F32, data)
}

/// The first of these numbers that the configuration has.
fn first(fixture: &Fixture, keys: &[&str]) -> Option<f64> {
    keys.iter().find_map(|key| fixture.number(key))
}

/// The rotation of layers without a window.
fn rope(fixture: &Fixture) -> &Value {
    let rope = &fixture.config["rope_parameters"];
    match &rope["full_attention"] {
        Value::Null => rope,
        nested => nested,
    }
}

/// Keys and whole numbers, of which none is written where the configuration has none.
fn sizes(fixture: &Fixture) -> Vec<(&'static str, Option<f64>)> {
    let number = |keys: &[&str]| first(fixture, keys);
    let unused = fixture.config["use_sliding_window"] == false;
    let window = number(&["sliding_window"]).filter(|_| !unused);
    let hidden = number(&["hidden_size", "n_embd"]);
    let heads = number(&["num_attention_heads", "n_head"]);
    let inner = number(&["intermediate_size"]);
    let head_dim = number(&["head_dim"]);
    let part = rope(fixture)["partial_rotary_factor"].as_f64();
    let turned = part.and_then(|part| Some(part * hidden? / heads?));
    let context = number(&["max_position_embeddings", "n_positions"]);
    let original = number(&["original_max_position_embeddings"]);
    vec![
        ("block_count", number(&["num_hidden_layers", "n_layer"])),
        ("context_length", context),
        ("embedding_length", hidden),
        ("feed_forward_length", inner.or_else(|| Some(4.0 * hidden?))),
        ("attention.head_count", heads),
        ("attention.head_count_kv", number(&["num_key_value_heads"])),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
        ("attention.sliding_window", window),
        ("rope.dimension_count", turned.or(head_dim)),
        ("rope.scaling.original_context_length", original),
    ]
}

fn metadata(fixture: &Fixture, architecture: &str) -> Vec<(String, Vec<u8>)> {
    let number = |key: &str| fixture.number(key);
    let rope = rope(fixture);
    let local = &fixture.config["rope_parameters"]["sliding_attention"]["rope_theta"];
    let is_linear = rope["rope_type"] == "linear";
    let factor = rope["factor"].as_f64().filter(|_| is_linear);
    let numbers = [
        ("attention.layer_norm_rms_epsilon", number("rms_norm_eps")),
        ("attention.layer_norm_epsilon", number("layer_norm_epsilon")),
        ("rope.freq_base", rope["rope_theta"].as_f64()),
        ("rope.freq_base_swa", local.as_f64()),
        ("rope.scaling.factor", factor),
        ("final_logit_softcapping", number("final_logit_softcapping")),
    ];
    let key = |name: &str| format!("{architecture}.{name}");
    let sizes = sizes(fixture).into_iter();
    let sizes = sizes.filter_map(|(name, n)| Some((key(name), u32_value(n? as u32))));
    let numbers = numbers.into_iter();
    let numbers = numbers.filter_map(|(name, n)| Some((key(name), f32_value(n? as f32))));
    let mut all: Vec<_> = sizes.chain(numbers).collect();
    all.push(("general.architecture".to_owned(), text_value(architecture)));
    if is_linear {
        all.push((key("rope.scaling.type"), text_value("linear")));
    }
    all
}

/// The tokenizer of `t0`, `t1` and so on.
fn vocabulary(count: usize) -> Vec<(String, Vec<u8>)> {
    let tokens: Vec<_> = (0..count).map(|id| text(&format!("t{id}"))).collect();
    let entries = [
        ("tokenizer.ggml.model", text_value("gpt2")),
        ("tokenizer.ggml.pre", text_value("gpt-2")),
        ("tokenizer.ggml.tokens", array(8, &tokens)),
        ("tokenizer.ggml.merges", array(8, &[])),
        ("tokenizer.ggml.bos_token_id", u32_value(1)),
        ("tokenizer.ggml.eos_token_id", u32_value(2)),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).to_vec()
}

impl Fixture {
    /// The model as a GGUF file of this architecture.
    pub(crate) fn gguf(&self, architecture: &str) -> Gguf {
        let mut metadata = metadata(self, architecture);
        metadata.extend(vocabulary(self.vocab()));
        let tensors = self.tensors.iter().map(|(name, shape)| {
            let (shape, values) = converted(self, architecture, name, shape);
            tensor(&renamed(name, architecture), &shape, &values)
        });
        let mut tensors: Vec<_> = tensors.collect();
        if let Some(factors) = &self.rope_freqs {
            tensors.push(tensor("rope_freqs.weight", &[factors.len()], factors));
        }
        let rope = &self.config["rope_parameters"];
        for (list, name) in [("long_factor", "long"), ("short_factor", "short")] {
            if let Some(factors) = rope[list].as_array() {
                let factors = factors.iter().filter_map(Value::as_f64);
                let factors: Vec<f32> = factors.map(|x| x as f32).collect();
                let name = format!("rope_factors_{name}.weight");
                tensors.push(tensor(&name, &[factors.len()], &factors));
            }
        }
        Gguf { metadata, tensors }
    }
}
