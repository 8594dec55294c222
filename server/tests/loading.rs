//! Whatever the files of a model hold, loading ends in a model or in an error that helps.

mod tiny;

use std::cell::Cell;
use std::path::PathBuf;

use chandler_server::load::{
    ChatMessage, DeviceChoice, DtypeChoice, LoadError, LoadOptions, LoadedModel, Task, TextModel,
    load,
};
use chandler_server::models::Chunk;
use proptest::prelude::*;
use tempfile::TempDir;

fn attempt(files: &[(&str, Vec<u8>)], options: &LoadOptions) -> Result<LoadedModel, LoadError> {
    let root = TempDir::new().expect("a folder");
    let names = tiny::write(root.path(), files);
    load(root.path(), &names, options, &|_, _| {})
}

fn load_gguf(bytes: Vec<u8>) -> Result<LoadedModel, LoadError> {
    attempt(&[(tiny::GGUF, bytes)], &LoadOptions::default())
}

fn text(loaded: LoadedModel) -> TextModel {
    match loaded {
        LoadedModel::Text(model) => model,
        _ => panic!("a model of the wrong kind"),
    }
}

/// The reason that loading fails for, and what it says.
fn failure(result: Result<LoadedModel, LoadError>) -> (&'static str, String) {
    let error = result.expect_err("an error");
    (error.reason(), error.to_string())
}

fn assert_fails(result: Result<LoadedModel, LoadError>, reason: &str, part: &str) {
    let (found, message) = failure(result);
    assert_eq!(found, reason, "{message}");
    assert!(message.contains(part), "{message}");
}

#[test]
fn a_tiny_gguf_loads_answers_and_tells_its_progress() {
    let root = TempDir::new().expect("a folder");
    let bytes = tiny::llama().bytes();
    let names = tiny::write(root.path(), &[(tiny::GGUF, bytes)]);
    let seen = Cell::new((0, 0));
    let progress = |done, total| {
        assert!(done > seen.get().0 && done <= total);
        seen.set((done, total));
    };
    let loaded = load(root.path(), &names, &LoadOptions::default(), &progress);
    let (done, total) = seen.get();
    assert_eq!(done, total);
    let mut model = text(loaded.expect("a model"));
    assert_eq!(model.lm.context(), 64);
    assert_eq!(model.end_tokens, [257]);
    let logits = model.lm.forward(&[chunk(&[256, 97])]).expect("logits");
    assert_eq!(logits.dims(), [1, model.vocab_size]);
    let logits: Vec<Vec<f32>> = logits.to_vec2().expect("floats");
    assert!(logits.iter().flatten().all(|x| x.is_finite()));
}

#[test]
fn a_prompt_begins_with_one_bos_token_whether_or_not_the_text_has_it() {
    let model = text(load_gguf(tiny::llama().bytes()).expect("a model"));
    assert_eq!(model.encode("ab").expect("ids"), [256, 258]);
    assert_eq!(model.encode("<s>ab").expect("ids"), [256, 258]);
    let silent = tiny::llama().with("tokenizer.ggml.add_bos_token", tiny::bool_value(false));
    let model = text(load_gguf(silent.bytes()).expect("a model"));
    assert_eq!(model.encode("ab").expect("ids"), [258]);
}

#[test]
fn a_conversation_begins_with_one_bos_token_whether_the_template_or_the_file_asks_for_it() {
    let prompt = |gguf: tiny::Gguf| {
        let model = text(load_gguf(gguf.bytes()).expect("a model"));
        let message = ChatMessage {
            role: "user".to_owned(),
            content: "ab".to_owned(),
            ..ChatMessage::default()
        };
        let template = model.template.as_ref().expect("a template");
        let prompt = template.render(&[message], true).expect("a prompt");
        model.encode(&prompt).expect("ids")
    };
    let add = |add: bool| tiny::llama().with("tokenizer.ggml.add_bos_token", tiny::bool_value(add));
    let silent = tiny::text_value("{% for m in messages %}{{ m.content }}{% endfor %}");
    let silent = |gguf: tiny::Gguf| gguf.with("tokenizer.chat_template", silent.clone());
    // Both, one of them, none.
    assert_eq!(prompt(add(true)), [256, 258]);
    assert_eq!(prompt(add(false)), [256, 258]);
    assert_eq!(prompt(silent(add(true))), [256, 258]);
    assert_eq!(prompt(silent(add(false))), [258]);
}

#[test]
fn every_gguf_that_is_cut_short_is_called_truncated() {
    let bytes = tiny::llama().bytes();
    let cuts = (0..bytes.len()).step_by(61).chain([bytes.len() - 1]);
    for length in cuts {
        let result = load_gguf(bytes[..length].to_vec());
        assert_fails(
            result,
            "WeightsTruncated",
            &format!("the file has {length}"),
        );
    }
}

#[test]
fn absurd_gguf_headers_are_refused_before_anything_is_allocated() {
    let huge = |at: usize| {
        let mut bytes = tiny::llama().bytes();
        bytes[at..at + 8].copy_from_slice(&(u64::MAX / 3).to_le_bytes());
        load_gguf(bytes)
    };
    assert_fails(huge(8), "WeightsInvalid", "tensors");
    assert_fails(huge(16), "WeightsInvalid", "entries");
    assert_fails(huge(24), "WeightsTruncated", "metadata key");
    let mut model = tiny::llama();
    model.tensors[0].1 = vec![1 << 40, 1 << 40];
    assert_fails(load_gguf(model.bytes()), "WeightsInvalid", "does not fit");
    model.tensors[0].1 = vec![32, 1 << 50];
    assert_fails(load_gguf(model.bytes()), "WeightsTruncated", "token_embd");
    let wide = tiny::llama().with("llama.block_count", tiny::u32_value(u32::MAX));
    assert_fails(
        load_gguf(wide.bytes()),
        "OutOfMemory",
        "give the server more memory",
    );
}

#[test]
fn gguf_files_of_other_kinds_are_named() {
    let with = |key: &str, value: &str| {
        load_gguf(tiny::llama().with(key, tiny::text_value(value)).bytes())
    };
    let arch = with("general.architecture", "rwkv");
    assert_fails(
        arch,
        "UnknownArchitecture",
        "`rwkv` is not supported; this server runs bert",
    );
    let pre = with("tokenizer.ggml.pre", "tekken");
    assert_fails(
        pre,
        "TokenizerInvalid",
        "`tekken`; this server reads gpt-2, smollm",
    );
    let model = with("tokenizer.ggml.model", "bert");
    assert_fails(model, "TokenizerInvalid", "this server reads `gpt2`");
    let scoreless = with("tokenizer.ggml.model", "llama");
    assert_fails(scoreless, "ConfigInvalid", "scores` is missing");
    let template = with("tokenizer.chat_template", "{% if %}");
    assert_fails(template, "TemplateInvalid", "not valid Jinja");
    assert_fails(
        with("llama.block_count", "one"),
        "ConfigInvalid",
        "must be an integer",
    );
    assert_fails(
        with("llama.rope.scaling.type", "yarn"),
        "ConfigInvalid",
        "must be `none`",
    );
    let lacking = load_gguf(tiny::llama().without("blk.0.attn_q.weight").bytes());
    assert_fails(
        lacking,
        "WeightsInvalid",
        "`blk.0.attn_q.weight` is missing",
    );
    let mut hollow = tiny::llama();
    hollow.tensors.clear();
    let hollow = load_gguf(hollow.bytes());
    assert_fails(hollow, "WeightsInvalid", "`token_embd.weight` is missing");
    let mut biased = tiny::llama();
    biased
        .tensors
        .push(("blk.0.attn_q.bias".to_owned(), vec![1], 0, vec![0; 4]));
    assert_fails(load_gguf(biased.bytes()), "WeightsInvalid", "attn_q.bias");
    assert_fails(
        load_gguf(b"no such file at all".to_vec()),
        "WeightsInvalid",
        "GGUF",
    );
}

#[test]
fn options_that_a_model_cannot_keep_are_refused_with_advice() {
    let gguf = || vec![(tiny::GGUF, tiny::llama().bytes())];
    let task = |task| LoadOptions {
        task,
        ..LoadOptions::default()
    };
    let result = attempt(&gguf(), &task(Task::Embedding));
    assert_fails(result, "TaskMismatch", "it can do chat, completion");
    let result = attempt(&tiny::bert(), &task(Task::Chat));
    assert_fails(result, "TaskMismatch", "it can do embedding");
    let plain = tiny::llama().without("tokenizer.chat_template").bytes();
    let result = attempt(&[(tiny::GGUF, plain)], &task(Task::Chat));
    assert_fails(result, "TaskMismatch", "it can do completion");
    let length = |n| LoadOptions {
        max_model_len: Some(n),
        ..LoadOptions::default()
    };
    assert_fails(
        attempt(&gguf(), &length(65)),
        "ContextTooLong",
        "at most 64",
    );
    assert_fails(
        attempt(&gguf(), &length(1)),
        "ContextTooShort",
        "at least 2",
    );
    assert_fails(
        attempt(&tiny::bert(), &length(13)),
        "ContextTooLong",
        "at most 12",
    );
    let model = text(attempt(&gguf(), &length(5)).expect("a model"));
    assert_eq!(model.lm.context(), 5);
    let half = LoadOptions {
        dtype: DtypeChoice::F16,
        ..LoadOptions::default()
    };
    assert_fails(
        attempt(&gguf(), &half),
        "DtypeUnsupported",
        "write `auto` or `f32`",
    );
    assert_fails(
        attempt(&tiny::bert(), &half),
        "DtypeUnsupported",
        "write `auto` or `f32`",
    );
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    if candle_core::utils::cuda_is_available() {
        return;
    }
    let options = LoadOptions {
        device: DeviceChoice::Cuda,
        ..LoadOptions::default()
    };
    let result = attempt(&[(tiny::GGUF, tiny::llama().bytes())], &options);
    assert_fails(result, "DeviceUnavailable", "write `auto` or `cpu`");
    assert_fails(
        attempt(&tiny::bert(), &options),
        "DeviceUnavailable",
        "no CUDA support",
    );
}

#[test]
fn files_that_are_missing_or_too_many_are_named() {
    let options = LoadOptions::default();
    let two = [
        ("a.gguf", tiny::llama().bytes()),
        ("b.gguf", tiny::llama().bytes()),
    ];
    assert_fails(
        attempt(&two, &options),
        "ConfigInvalid",
        "several GGUF files",
    );
    for (name, reason) in [
        ("config.json", "ConfigInvalid"),
        ("tokenizer.json", "TokenizerInvalid"),
        ("1_Pooling/config.json", "ConfigInvalid"),
        ("model.safetensors", "WeightsMissing"),
    ] {
        let mut files = tiny::bert();
        files.retain(|(file, _)| *file != name);
        assert_fails(attempt(&files, &options), reason, "");
    }
    let root = TempDir::new().expect("a folder");
    let result = load(
        root.path(),
        &[PathBuf::from("no.gguf")],
        &options,
        &|_, _| {},
    );
    assert_fails(result, "Unreadable", "no.gguf");
}

#[test]
fn a_tokenizer_of_unknown_parts_is_refused() {
    let mut files = tiny::bert();
    let tokenizer = String::from_utf8(files[3].1.clone()).expect("JSON");
    files[3].1 = tokenizer
        .replace("\"decoder\":null", "\"decoder\":}")
        .into();
    assert_fails(attempt(&files, &options()), "TokenizerInvalid", "malformed");
    files[3].1 = b"{}".to_vec();
    assert_fails(
        attempt(&files, &options()),
        "TokenizerInvalid",
        "tokenizer.json",
    );
}

/// The beginning of a sequence, in the first block of the cache.
fn chunk(tokens: &[u32]) -> Chunk<'_> {
    Chunk {
        tokens,
        position: 0,
        blocks: &[0],
        writes: true,
    }
}

fn options() -> LoadOptions {
    LoadOptions::default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_changed_gguf_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        header_only in any::<bool>(),
    ) {
        let mut bytes = tiny::llama().bytes();
        let within = if header_only { bytes.len().min(9000) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(within)] = byte;
        }
        if let Ok(LoadedModel::Text(mut model)) = load_gguf(bytes) {
            let _ = model.encode("ab 12 <s>");
            let _ = model.lm.forward(&[chunk(&[97, 98])]);
        }
    }

    #[test]
    fn no_changed_safetensors_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        file in 0..5usize,
    ) {
        let mut files = tiny::bert();
        let bytes = &mut files[file].1;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(LoadedModel::Embedding(mut model)) = attempt(&files, &options()) {
            let _ = model.tokenizer.encode("a b", true);
            let _ = model.embedder.embed(&[&[0, 1]]);
        }
    }

    #[test]
    fn no_random_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"GGUF\x03\0\0\0".as_slice(), &bytes].concat();
        prop_assert!(load_gguf(with_magic).is_err());
        let mut files = tiny::bert();
        files[4].1 = bytes;
        prop_assert!(attempt(&files, &options()).is_err());
    }
}
