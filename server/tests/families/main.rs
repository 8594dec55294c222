//! Decoders of every family against the transformers package: the same weights give the same logits, however
//! the sequences are cut and batched.

mod fixture;
mod folder;
mod gguf;
mod sentencepiece;
#[path = "../tiny/mod.rs"]
mod tiny;

use chandler_server::load::TextModel;
use chandler_server::models::Chunk;

use fixture::{Dtype, Fixture, Sequence, fixture, model};

/// How far logits may be from the reference, which is rounded to half of [`fixture::UNIT`]: little enough to
/// tell one form of GELU from the other.
const TOLERANCE: f32 = 2e-4;

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

/// Computes a step, and compares the logits after each part, where the reference has them.
fn step(model: &mut TextModel, parts: &[Part<'_>]) {
    let chunks = parts.iter().map(|part| Chunk {
        tokens: &part.sequence.tokens[part.from..part.to],
        position: part.from,
        blocks: part.blocks,
        writes: true,
    });
    let chunks: Vec<Chunk<'_>> = chunks.collect();
    let logits = model.lm.forward(&chunks).expect("logits");
    assert_eq!(logits.dims(), [parts.len(), model.vocab_size]);
    let logits: Vec<Vec<f32>> = logits.to_vec2().expect("floats");
    for (found, part) in logits.iter().zip(parts) {
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
fn whole(model: &mut TextModel, sequences: &[Sequence]) {
    let blocks = table(0);
    for sequence in sequences {
        for to in 1..=sequence.tokens.len() {
            let part = Part {
                sequence,
                from: 0,
                to,
                blocks: &blocks,
            };
            step(model, &[part]);
        }
    }
}

/// Sequences join one after the other with a chunk of their own length, go on by one token a step, and leave
/// as they end.
fn ragged(model: &mut TextModel, sequences: &[Sequence]) {
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
            step(model, &parts);
        }
    }
}

/// The first sequence in chunks of every length that does not divide a block.
fn chunked(model: &mut TextModel, sequence: &Sequence) {
    for length in [3, 5, 6, 7, 11, 18] {
        let blocks = table(1);
        for from in (0..sequence.tokens.len()).step_by(length) {
            let part = Part {
                sequence,
                from,
                to: sequence.tokens.len().min(from + length),
                blocks: &blocks,
            };
            step(model, &[part]);
        }
    }
}

/// The second sequence goes on from two blocks of the first, which was computed before or is in the same step.
fn shared(model: &mut TextModel, [first, second, _]: [&Sequence; 3]) {
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
            true => step(model, &[whole, rest(32, 33)]),
            false => {
                step(model, &[whole]);
                step(model, &[rest(32, 33)]);
            }
        }
        for at in 33..second.tokens.len() {
            step(model, &[rest(at, at + 1)]);
        }
    }
}

/// The first sequence loses its blocks to the others, and is computed anew in blocks that held something else.
fn preempted(model: &mut TextModel, [first, second, third]: [&Sequence; 3]) {
    let (lost, other) = (table(0), table(1));
    let part = |sequence, from, to, blocks| Part {
        sequence,
        from,
        to,
        blocks,
    };
    step(
        model,
        &[part(first, 0, 24, &lost), part(third, 0, 5, &other)],
    );
    let (whole, short) = (second.tokens.len(), third.tokens.len());
    step(
        model,
        &[part(second, 0, whole, &lost), part(third, 5, short, &other)],
    );
    step(model, &[part(first, 0, 24, &other)]);
    for at in 24..first.tokens.len() {
        step(model, &[part(first, at, at + 1, &other)]);
    }
}

/// The one test that all families must pass.
fn agree(model: &mut TextModel, fixture: &Fixture) {
    let [first, second, third] = &fixture.sequences[..] else {
        panic!("a fixture has three sequences");
    };
    assert_eq!(first.tokens[..32], second.tokens[..32]);
    let all = [first, second, third];
    whole(model, &fixture.sequences);
    ragged(model, &fixture.sequences);
    chunked(model, first);
    shared(model, all);
    preempted(model, all);
}

fn check_folder(name: &str) {
    let fixture = fixture(name);
    agree(&mut model(&fixture.files(Dtype::F32)), &fixture);
}

fn check_gguf(name: &str, architecture: &str) {
    let fixture = fixture(name);
    let bytes = fixture.gguf(architecture).bytes();
    agree(&mut model(&[(tiny::GGUF, bytes)]), &fixture);
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
    agree(&mut model(&[(tiny::GGUF, gguf.bytes())]), &fixture);
}

#[test]
fn phi3_for_long_contexts_from_gguf() {
    let fixture = fixture("phi3_long");
    // The root of 1 + ln(64 / 8) / ln 8.
    let scale = tiny::f32_value(2f32.sqrt());
    let gguf = fixture
        .gguf("phi3")
        .with("phi3.rope.scaling.attn_factor", scale);
    agree(&mut model(&[(tiny::GGUF, gguf.bytes())]), &fixture);
}
