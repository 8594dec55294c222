//! A model file with random weights in the shape of a Llama of 1.1 billion of them, quantised as llama.cpp's `Q4_K_M`.
//!
//! How fast it is does not depend on what the weights are. Its vocabulary knows single bytes only, so that a character is
//! a token.

use crate::bench::random::Random;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

const FILE: &str = "target/bench/llama-1.1b-random-q4_k_m.gguf";
const ALIGNMENT: u64 = 32;

const LAYERS: u64 = 22;
const HIDDEN: u64 = 2048;
const INNER: u64 = 5632;
const HEADS: u64 = 32;
const KV_HEADS: u64 = 4;
const VOCAB: u64 = 32_000;
const CONTEXT: u64 = 2048;

/// Types of tensors, by ggml's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32 = 0,
    Q4K = 12,
    Q6K = 14,
}

/// Weights of a super-block.
const BLOCK: u64 = 256;
const Q4K_BYTES: usize = 144;
const Q6K_BYTES: usize = 210;
/// 2⁻¹² and 7.5 times that as halves: weights are then about as large as those of a trained model, and lie around 0.
const SCALE: [u8; 2] = [0x00, 0x0c];
const MINIMUM: [u8; 2] = [0x80, 0x17];

struct Tensor {
    name: String,
    /// Innermost first.
    shape: Vec<u64>,
    kind: Kind,
}

impl Tensor {
    fn bytes(&self) -> u64 {
        let count: u64 = self.shape.iter().product();
        match self.kind {
            Kind::F32 => count * 4,
            Kind::Q4K => count / BLOCK * Q4K_BYTES as u64,
            Kind::Q6K => count / BLOCK * Q6K_BYTES as u64,
        }
    }
}

/// The file, written where it isn't there yet.
///
/// # Errors
/// When it can't be written.
pub(in crate::bench) fn file() -> Result<PathBuf> {
    let path = layout::root().join(FILE);
    if path.is_file() {
        return Ok(path);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    let file = File::create(&partial).with_context(|| format!("can't write {FILE}"))?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()?;
    fs::rename(&partial, &path)?;
    Ok(path)
}

fn write(out: &mut impl Write) -> Result<()> {
    let tensors = tensors();
    let mut header = header(&tensors);
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    out.write_all(&header)?;
    let mut random = Random::new();
    for tensor in &tensors {
        let data = data(tensor, &mut random);
        let padding = data.len().next_multiple_of(ALIGNMENT as usize) - data.len();
        out.write_all(&data)?;
        out.write_all(&vec![0; padding])?;
    }
    Ok(())
}

/// Which matrices have more bits is llama.cpp's choice for `Q4_K_M`.
fn tensors() -> Vec<Tensor> {
    let matrix = |name: &str, inputs, outputs, kind| Tensor {
        name: format!("{name}.weight"),
        shape: vec![inputs, outputs],
        kind,
    };
    let norm = |name: &str| Tensor {
        name: format!("{name}.weight"),
        shape: vec![HIDDEN],
        kind: Kind::F32,
    };
    let mut tensors = vec![
        matrix("token_embd", HIDDEN, VOCAB, Kind::Q4K),
        norm("output_norm"),
        matrix("output", HIDDEN, VOCAB, Kind::Q6K),
    ];
    let keys = HIDDEN / HEADS * KV_HEADS;
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let outer = !(LAYERS / 8..7 * LAYERS / 8).contains(&layer);
        let more = if outer || (layer - LAYERS / 8) % 3 == 2 {
            Kind::Q6K
        } else {
            Kind::Q4K
        };
        tensors.extend([
            norm(&name("attn_norm")),
            norm(&name("ffn_norm")),
            matrix(&name("attn_q"), HIDDEN, HIDDEN, Kind::Q4K),
            matrix(&name("attn_k"), HIDDEN, keys, Kind::Q4K),
            matrix(&name("attn_v"), HIDDEN, keys, more),
            matrix(&name("attn_output"), HIDDEN, HIDDEN, Kind::Q4K),
            matrix(&name("ffn_gate"), HIDDEN, INNER, Kind::Q4K),
            matrix(&name("ffn_up"), HIDDEN, INNER, Kind::Q4K),
            matrix(&name("ffn_down"), INNER, HIDDEN, more),
        ]);
    }
    tensors
}

fn header(tensors: &[Tensor]) -> Vec<u8> {
    let metadata = metadata();
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        bytes.extend(text(&tensor.name));
        bytes.extend((tensor.shape.len() as u32).to_le_bytes());
        for length in &tensor.shape {
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend((tensor.kind as u32).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    bytes
}

fn metadata() -> Vec<(&'static str, Vec<u8>)> {
    let number = |number: u64| [4u32.to_le_bytes(), (number as u32).to_le_bytes()].concat();
    let float = |number: f32| [6u32.to_le_bytes(), number.to_le_bytes()].concat();
    let word = |word: &str| [8u32.to_le_bytes().to_vec(), text(word)].concat();
    let (tokens, kinds) = vocabulary();
    vec![
        ("general.architecture", word("llama")),
        ("general.name", word("random")),
        ("general.file_type", number(15)),
        ("llama.block_count", number(LAYERS)),
        ("llama.context_length", number(CONTEXT)),
        ("llama.embedding_length", number(HIDDEN)),
        ("llama.feed_forward_length", number(INNER)),
        ("llama.attention.head_count", number(HEADS)),
        ("llama.attention.head_count_kv", number(KV_HEADS)),
        ("llama.rope.dimension_count", number(HIDDEN / HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", float(1e-5)),
        ("llama.vocab_size", number(VOCAB)),
        ("tokenizer.ggml.model", word("gpt2")),
        ("tokenizer.ggml.pre", word("gpt-2")),
        ("tokenizer.ggml.tokens", array(8, &tokens)),
        ("tokenizer.ggml.token_type", array(5, &kinds)),
        ("tokenizer.ggml.merges", array(8, &[text("a b")])),
        ("tokenizer.ggml.bos_token_id", number(1)),
        ("tokenizer.ggml.eos_token_id", number(2)),
    ]
}

/// Three special tokens, the bytes as byte-level vocabularies write them, the one merge, and words that no text has.
fn vocabulary() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let bytes = (0u8..=255).map(|byte| character(byte).to_string());
    let mut tokens: Vec<String> = special.into_iter().chain(bytes).collect();
    tokens.push("ab".to_owned());
    tokens.extend((tokens.len()..VOCAB as usize).map(|at| format!("word{at}")));
    let kind = |at: usize| i32::from(at < 3) * 2 + 1;
    let kinds = (0..tokens.len()).map(|at| kind(at).to_le_bytes().to_vec());
    (tokens.iter().map(|it| text(it)).collect(), kinds.collect())
}

/// The character that byte-level vocabularies write for a byte: itself where it can be seen, else one of those from
/// U+0100 on.
fn character(byte: u8) -> char {
    let seen = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let hidden = (0..byte).filter(|byte| !seen(byte)).count() as u32;
    let code = if seen(&byte) {
        byte.into()
    } else {
        0x100 + hidden
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn array(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [9u32.to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend((items.len() as u64).to_le_bytes());
    bytes.extend(items.concat());
    bytes
}

fn data(tensor: &Tensor, random: &mut Random) -> Vec<u8> {
    if tensor.kind == Kind::F32 {
        let count = tensor.bytes() as usize / 4;
        return 1f32.to_le_bytes().repeat(count);
    }
    let mut data = vec![0; tensor.bytes() as usize];
    random.fill(&mut data);
    match tensor.kind {
        Kind::F32 => {}
        Kind::Q4K => data.chunks_exact_mut(Q4K_BYTES).for_each(|block| {
            block[..2].copy_from_slice(&SCALE);
            block[2..4].copy_from_slice(&MINIMUM);
        }),
        Kind::Q6K => data.chunks_exact_mut(Q6K_BYTES).for_each(|block| {
            block[Q6K_BYTES - 2..].copy_from_slice(&SCALE);
        }),
    }
    data
}
