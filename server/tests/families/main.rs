//! Decoders of every family, and classifiers, against the transformers package: the same weights give the same
//! logits, however the sequences are cut and batched.

mod classifiers;
mod fixture;
mod folder;
mod gguf;
mod sentencepiece;
#[path = "../tiny/mod.rs"]
mod tiny;

use std::collections::HashMap;

use chandler_server::load::{LoadOptions, TextModel};
use chandler_server::models::Chunk;

use fixture::{Dtype, Fixture, Sequence, fixture, model, model_with};

/// How far logits may be from the reference, which is rounded to half of [`fixture::UNIT`]: little enough to
/// tell one form of GELU from the other.
const TOLERANCE: f32 = 2e-4;
/// How far logits of the same tokens may be from each other where they are computed by tensor operations, which sum in
/// another order for another batch.
const REORDERED: f32 = 1e-4;

/// The blocks of sequence `index`, not in order.
fn table(index: usize) -> Vec<u32> {
    let first = 4 * index as u32;
    [2, 0, 3, 1].map(|at| first + at).to_vec()
}

/// Tokens of a sequence that a step computes, and the blocks that hold it.
struct Part<'a> {
    sequence: &'a Sequence,
    from: usize,
    to: usize,
    blocks: &'a [u32],
}

/// A model, and the logits that it gave after these tokens.
struct Subject {
    model: TextModel,
    told: HashMap<Vec<u32>, Vec<f32>>,
    /// Whether nothing beside a sequence may change a bit of its logits.
    exact: bool,
}

impl Subject {
    fn new(model: TextModel) -> Self {
        Self {
            model,
            told: HashMap::new(),
            // On a GPU tensor operations compute.
            exact: !candle_core::utils::cuda_is_available(),
        }
    }

    /// Whatever is beside a sequence, and however it is cut, its logits are the same.
    fn same(&mut self, part: &Part<'_>, logits: &[f32]) {
        let tokens = part.sequence.tokens[..part.to].to_vec();
        let before = self.told.entry(tokens).or_insert_with(|| logits.to_vec());
        let apart = before.iter().zip(logits).map(|(a, b)| (a - b).abs());
        let most = if self.exact { 0.0 } else { REORDERED };
        let mut apart = apart;
        let far = apart.find(|apart| apart.is_nan() || *apart > most);
        assert_eq!(far, None, "at {} from {}", part.to - 1, part.from);
    }
}

/// Computes a step, and compares the logits after each part, where the reference has them.
fn step(subject: &mut Subject, parts: &[Part<'_>]) {
    let chunks = parts.iter().map(|part| Chunk {
        tokens: &part.sequence.tokens[part.from..part.to],
        position: part.from,
        blocks: part.blocks,
        writes: true,
    });
    let chunks: Vec<Chunk<'_>> = chunks.collect();
    let logits = subject.model.lm.forward(&chunks).expect("logits");
    assert_eq!(logits.dims(), [parts.len(), subject.model.vocab_size]);
    let logits: Vec<Vec<f32>> = logits.to_vec2().expect("floats");
    for (found, part) in logits.iter().zip(parts) {
        subject.same(part, found);
        let Some(expected) = part.sequence.logits(part.to - 1) else {
            continue;
        };
        let mut apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let far = apart.find(|apart| apart.is_nan() || *apart >= TOLERANCE);
        assert_eq!(far, None, "at {} from {}", part.to - 1, part.from);
        assert_eq!(found.len(), expected.len());
    }
}

/// Every sequence by itself, up to every position.
fn whole(subject: &mut Subject, sequences: &[Sequence]) {
    let blocks = table(0);
    for sequence in sequences {
        for to in 1..=sequence.tokens.len() {
            let part = Part {
                sequence,
                from: 0,
                to,
                blocks: &blocks,
            };
            step(subject, &[part]);
        }
    }
}

/// Sequences join one after the other with a chunk of their own length, go on by one token a step, and leave
/// as they end.
fn ragged(subject: &mut Subject, sequences: &[Sequence]) {
    let tables: Vec<Vec<u32>> = (0..sequences.len()).map(table).collect();
    let joins = [(0, 17), (2, 30), (5, 1)];
    for now in 0..64 {
        let parts = sequences.iter().zip(&tables).zip(joins);
        let parts = parts.filter_map(|((sequence, blocks), (begin, first))| {
            let age: usize = usize::checked_sub(now, begin)?;
            let (from, to) = match age {
                0 => (0, first),
                _ => (first + age - 1, first + age),
            };
            (to <= sequence.tokens.len()).then_some(Part {
                sequence,
                from,
                to,
                blocks,
            })
        });
        let parts: Vec<Part<'_>> = parts.collect();
        if !parts.is_empty() {
            step(subject, &parts);
        }
    }
}

/// The first sequence in chunks of every length that does not divide a block.
fn chunked(subject: &mut Subject, sequence: &Sequence) {
    for length in [3, 5, 6, 7, 11, 18] {
        let blocks = table(1);
        for from in (0..sequence.tokens.len()).step_by(length) {
            let part = Part {
                sequence,
                from,
                to: sequence.tokens.len().min(from + length),
                blocks: &blocks,
            };
            step(subject, &[part]);
        }
    }
}

/// The second sequence goes on from two blocks of the first, which was computed before or is in the same step.
fn shared(subject: &mut Subject, [first, second, _]: [&Sequence; 3]) {
    let owner = table(2);
    let borrower = [&owner[..2], &table(3)[..2]].concat();
    for at_once in [true, false] {
        let whole = Part {
            sequence: first,
            from: 0,
            to: first.tokens.len(),
            blocks: &owner,
        };
        let rest = |from, to| Part {
            sequence: second,
            from,
            to,
            blocks: &borrower,
        };
        match at_once {
            true => step(subject, &[whole, rest(32, 33)]),
            false => {
                step(subject, &[whole]);
                step(subject, &[rest(32, 33)]);
            }
        }
        for at in 33..second.tokens.len() {
            step(subject, &[rest(at, at + 1)]);
        }
    }
}

/// The first sequence loses its blocks to the others, and is computed anew in blocks that held something else.
fn preempted(subject: &mut Subject, [first, second, third]: [&Sequence; 3]) {
    let (lost, other) = (table(0), table(1));
    let part = |sequence, from, to, blocks| Part {
        sequence,
        from,
        to,
        blocks,
    };
    step(
        subject,
        &[part(first, 0, 24, &lost), part(third, 0, 5, &other)],
    );
    let (whole, short) = (second.tokens.len(), third.tokens.len());
    step(
        subject,
        &[part(second, 0, whole, &lost), part(third, 5, short, &other)],
    );
    step(subject, &[part(first, 0, 24, &other)]);
    for at in 24..first.tokens.len() {
        step(subject, &[part(first, at, at + 1, &other)]);
    }
}

/// The one test that all families must pass.
fn agree(model: TextModel, fixture: &Fixture) {
    agree_all(&mut Subject::new(model), fixture);
}

fn agree_all(subject: &mut Subject, fixture: &Fixture) {
    let [first, second, third] = &fixture.sequences[..] else {
        panic!("a fixture has three sequences");
    };
    assert_eq!(first.tokens[..32], second.tokens[..32]);
    let all = [first, second, third];
    whole(subject, &fixture.sequences);
    ragged(subject, &fixture.sequences);
    chunked(subject, first);
    shared(subject, all);
    preempted(subject, all);
}

fn check_folder(name: &str) {
    let fixture = fixture(name);
    agree(model(&fixture.files(Dtype::F32)), &fixture);
}

/// By what devices without kernels of ours compute with, on the processor.
fn check_tensor_ops(name: &str) {
    let fixture = fixture(name);
    let options = LoadOptions {
        tensor_ops: true,
        ..LoadOptions::default()
    };
    let model = model_with(&fixture.files(Dtype::F32), &options);
    let subject = &mut Subject::new(model);
    subject.exact = false;
    agree_all(subject, &fixture);
}

fn check_gguf(name: &str, architecture: &str) {
    let fixture = fixture(name);
    let bytes = fixture.gguf(architecture).bytes();
    agree(model(&[(tiny::GGUF, bytes)]), &fixture);
}

macro_rules! cases {
    ($($test:ident: $check:ident($($argument:literal),+);)+) => {
        $(
            #[test]
            fn $test() {
                $check($($argument),+);
            }
        )+
    };
}

cases! {
    llama_from_safetensors: check_folder("llama");
    mistral_from_safetensors: check_folder("mistral");
    qwen2_from_safetensors: check_folder("qwen2");
    qwen2_with_a_window_from_safetensors: check_folder("qwen2_window");
    qwen3_from_safetensors: check_folder("qwen3");
    qwen3_with_a_window_and_biases_from_safetensors: check_folder("qwen3_window");
    phi3_from_safetensors: check_folder("phi3");
    phi3_for_long_contexts_from_safetensors: check_folder("phi3_long");
    gpt2_from_safetensors: check_folder("gpt2");
    gemma3_from_safetensors: check_folder("gemma3");
    llama_by_tensor_ops: check_tensor_ops("llama");
    mistral_by_tensor_ops: check_tensor_ops("mistral");
    qwen2_by_tensor_ops: check_tensor_ops("qwen2");
    qwen2_with_a_window_by_tensor_ops: check_tensor_ops("qwen2_window");
    qwen3_by_tensor_ops: check_tensor_ops("qwen3");
    qwen3_with_a_window_and_biases_by_tensor_ops: check_tensor_ops("qwen3_window");
    phi3_by_tensor_ops: check_tensor_ops("phi3");
    phi3_for_long_contexts_by_tensor_ops: check_tensor_ops("phi3_long");
    gpt2_by_tensor_ops: check_tensor_ops("gpt2");
    gemma3_by_tensor_ops: check_tensor_ops("gemma3");
    llama_from_gguf: check_gguf("llama", "llama");
    mistral_from_gguf: check_gguf("mistral", "llama");
    qwen2_from_gguf: check_gguf("qwen2", "qwen2");
    qwen3_from_gguf: check_gguf("qwen3", "qwen3");
    phi3_from_gguf: check_gguf("phi3", "phi3");
    gpt2_from_gguf: check_gguf("gpt2", "gpt2");
}

#[test]
fn gemma3_from_gguf() {
    let fixture = fixture("gemma3");
    let pattern = (
        "gemma3.attention.sliding_window_pattern",
        tiny::u32_value(2),
    );
    let gguf = fixture.gguf("gemma3").with(pattern.0, pattern.1);
    agree(model(&[(tiny::GGUF, gguf.bytes())]), &fixture);
}

#[test]
fn phi3_for_long_contexts_from_gguf() {
    let fixture = fixture("phi3_long");
    // The root of 1 + ln(64 / 8) / ln 8.
    let scale = tiny::f32_value(2f32.sqrt());
    let gguf = fixture
        .gguf("phi3")
        .with("phi3.rope.scaling.attn_factor", scale);
    agree(model(&[(tiny::GGUF, gguf.bytes())]), &fixture);
}
