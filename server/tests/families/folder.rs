//! What folders of one model have that differs: types, shards, older names, tokenizers.

use chandler_server::load::{ChatMessage, LoadOptions, LoadedModel, TextModel};
use chandler_server::models::Chunk;
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::{Dtype, Fixture, attempt, fixture, model, model_with, safetensors};
use crate::{Part, Subject, TOLERANCE, step, table, whole};

type Files = Vec<(&'static str, Vec<u8>)>;

/// The short sequence, at every position.
fn check(model: TextModel, fixture: &Fixture) {
    whole(&mut Subject::new(model), &fixture.sequences[2..]);
}

/// The files of the tiny Llama, with these besides or instead.
fn files(changed: &[(&'static str, String)]) -> Files {
    let mut files = fixture("llama").files(Dtype::F32);
    for (name, text) in changed {
        files.retain(|(other, _)| other != name);
        files.push((name, text.clone().into()));
    }
    files
}

fn reason(files: &Files) -> (&'static str, String) {
    let error = attempt(files, &LoadOptions::default()).expect_err("an error");
    (error.reason(), error.to_string())
}

#[test]
fn the_other_form_of_gelu_is_told_apart() {
    let mut gpt2 = fixture("gpt2");
    gpt2.config["activation_function"] = json!("gelu");
    let mut model = model(&gpt2.files(Dtype::F32));
    let sequence = &gpt2.sequences[2];
    let blocks = table(0);
    let chunk = Chunk {
        tokens: &sequence.tokens,
        position: 0,
        blocks: &blocks,
        writes: true,
    };
    let logits = model
        .lm
        .forward(&[chunk])
        .and_then(|it| it.get(0)?.to_vec1());
    let logits: Vec<f32> = logits.expect("floats");
    let expected = sequence.logits(sequence.tokens.len() - 1).expect("logits");
    let apart = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0f32, f32::max) > TOLERANCE);
}

#[test]
fn halves_and_brain_floats_are_computed_as_stored() {
    let fixture = fixture("gpt2");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        check(model(&fixture.files(dtype)), &fixture);
    }
}

#[test]
fn halves_and_brain_floats_are_widened_for_tensor_ops() {
    let fixture = fixture("gpt2");
    let options = LoadOptions {
        tensor_ops: true,
        ..LoadOptions::default()
    };
    for dtype in [Dtype::F16, Dtype::Bf16] {
        check(model_with(&fixture.files(dtype), &options), &fixture);
    }
}

#[test]
fn shards_are_found_by_their_index() {
    let fixture = fixture("phi3");
    let shards = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let half = fixture.tensors.keys().nth(fixture.tensors.len() / 2);
    let mut first = fixture.tensors.clone();
    let second = first.split_off(half.expect("tensors"));
    let home = |name: &String| shards[usize::from(second.contains_key(name))];
    let homes = fixture
        .tensors
        .keys()
        .map(|name| (name.clone(), home(name)));
    let homes: std::collections::BTreeMap<String, &str> = homes.collect();
    let mut files = fixture.files(Dtype::F32);
    files.retain(|(name, _)| *name != "model.safetensors");
    files.push((shards[0], safetensors(&first, Dtype::F32)));
    files.push((shards[1], safetensors(&second, Dtype::F32)));
    let index = json!({ "weight_map": homes });
    files.push(("model.safetensors.index.json", index.to_string().into()));
    check(model(&files), &fixture);
    files.remove(2);
    assert_eq!(reason(&files).0, "WeightsMissing");
}

#[test]
fn older_configurations_say_the_same_in_other_words() {
    let mut llama = fixture("llama");
    let config = llama.config.as_object_mut().expect("an object");
    let mut rope = config.remove("rope_parameters").expect("a rotation");
    config.insert("rope_theta".to_owned(), rope["rope_theta"].take());
    rope["type"] = rope["rope_type"].clone();
    config.insert("rope_scaling".to_owned(), rope);
    check(model(&llama.files(Dtype::F32)), &llama);

    let mut qwen = fixture("qwen2_window");
    let config = qwen.config.as_object_mut().expect("an object");
    config.remove("layer_types");
    check(model(&qwen.files(Dtype::F32)), &qwen);

    let mut gemma = fixture("gemma3");
    let config = gemma.config.as_object_mut().expect("an object");
    config.remove("rope_parameters");
    config.remove("layer_types");
    for (key, value) in [
        ("rope_theta", json!(5000.0)),
        ("rope_local_base_freq", json!(100.0)),
        (
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 4.0}),
        ),
        ("sliding_window_pattern", json!(2)),
    ] {
        config.insert(key.to_owned(), value);
    }
    check(model(&gemma.files(Dtype::F32)), &gemma);
}

#[test]
fn a_context_that_is_no_longer_than_the_original_takes_the_short_factors() {
    let short = fixture("phi3");
    let mut long = fixture("phi3_long");
    long.config["rope_parameters"]["attention_factor"] = json!(1.0);
    let options = LoadOptions {
        max_model_len: Some(8),
        ..LoadOptions::default()
    };
    let mut subject = Subject::new(model_with(&long.files(Dtype::F32), &options));
    let blocks = table(0);
    for to in 1..=8 {
        let part = Part {
            sequence: &short.sequences[2],
            from: 0,
            to,
            blocks: &blocks,
        };
        step(&mut subject, &[part]);
    }
}

#[test]
fn tensors_and_parts_that_are_not_known_are_refused() {
    let mut spare = fixture("qwen2");
    let name = "model.layers.0.self_attn.o_proj.bias".to_owned();
    spare.tensors.insert(name.clone(), vec![48]);
    let (found, message) = reason(&spare.files(Dtype::F32));
    assert_eq!(found, "WeightsInvalid");
    assert!(message.contains(&name), "{message}");

    let refused = |key: &str, value: serde_json::Value, part: &str| {
        let mut llama = fixture("llama");
        llama.config[key] = value;
        let (found, message) = reason(&llama.files(Dtype::F32));
        assert_eq!(found, "ConfigInvalid", "{message}");
        assert!(message.contains(part), "{message}");
    };
    refused("rope_parameters", json!({"rope_type": "yarn"}), "`yarn`");
    refused("hidden_act", json!("mish"), "`mish`");
    refused("num_key_value_heads", json!(3), "must divide");
    refused("num_hidden_layers", json!(1_000_000), "at most 4096");
    refused("head_dim", json!(1_u64 << 40), "at most 65536");

    let mut other = fixture("llama");
    other.config["model_type"] = json!("mamba");
    let (found, message) = reason(&other.files(Dtype::F32));
    assert_eq!(found, "UnknownArchitecture");
    assert!(
        message.contains("`mamba`") && message.contains("qwen3"),
        "{message}"
    );
}

#[test]
fn the_tokens_that_end_an_answer_are_those_of_all_files() {
    let ends = |changed: &[_]| model(&files(changed)).end_tokens;
    // As `config.json` has it.
    assert_eq!(ends(&[]), [2]);
    let generation = json!({"eos_token_id": [5, 3]});
    let tokenizer = json!({"eos_token": {"content": "t7", "lstrip": false}});
    let changed = [
        ("generation_config.json", generation.to_string()),
        ("tokenizer_config.json", tokenizer.to_string()),
    ];
    assert_eq!(ends(&changed), [2, 3, 5, 7]);
}

#[test]
fn a_sequence_begins_as_the_tokenizer_says() {
    let encoded = |config: serde_json::Value| {
        let changed = [("tokenizer_config.json", config.to_string())];
        model(&files(&changed)).encode("t4 t5").expect("ids")
    };
    assert_eq!(encoded(json!({"bos_token": "t1"})), [4, 5]);
    let asked = json!({"bos_token": "t1", "add_bos_token": true});
    assert_eq!(encoded(asked), [1, 4, 5]);

    let mut tokenizer = crate::fixture::tokenizer(61);
    let piece = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [piece("t1"), {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [piece("t1"), {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"t1": {"id": "t1", "ids": [1], "tokens": ["t1"]}},
    });
    let tokenizer = ("tokenizer.json", tokenizer.to_string());
    let loaded = model(&files(std::slice::from_ref(&tokenizer)));
    assert_eq!(loaded.encode("t4 t5").expect("ids"), [1, 4, 5]);
    // A chat template that writes it too makes no second one.
    let source = "{{ bos_token }} {{ messages[0].content }}";
    let config = json!({"bos_token": "t1", "chat_template": source});
    let config = ("tokenizer_config.json", config.to_string());
    let loaded = model(&files(&[tokenizer, config]));
    let message = ChatMessage {
        role: "user".to_owned(),
        content: "t4 t5".to_owned(),
        ..ChatMessage::default()
    };
    let template = loaded.template.as_ref().expect("a template");
    let prompt = template.render(&[message], true).expect("a prompt");
    assert_eq!(loaded.encode(&prompt).expect("ids"), [1, 4, 5]);
}

#[test]
fn a_chat_template_comes_from_its_own_file_or_from_the_tokenizer() {
    let prompt = |changed: &[_]| {
        let template = model(&files(changed)).template.expect("a template");
        let message = ChatMessage {
            role: "user".to_owned(),
            content: "t4".to_owned(),
            ..ChatMessage::default()
        };
        template.render(&[message], true).expect("a prompt")
    };
    let source = "{{ bos_token }} {{ messages[0].content }}{{ eos_token }}";
    let config = json!({"bos_token": "t1", "eos_token": "t2", "chat_template": source});
    let config = ("tokenizer_config.json", config.to_string());
    assert_eq!(prompt(std::slice::from_ref(&config)), "t1 t4t2");
    let file = (
        "chat_template.jinja",
        "{{ messages[0].content }}!".to_owned(),
    );
    assert_eq!(prompt(&[config, file]), "t4!");
    let named = json!([
        {"name": "tool_use", "template": "no"},
        {"name": "default", "template": "{{ messages[0].role }}"},
    ]);
    let named = json!({ "chat_template": named }).to_string();
    assert_eq!(prompt(&[("tokenizer_config.json", named)]), "user");
    assert!(model(&files(&[])).template.is_none());
}

#[test]
fn the_first_gpt2_had_no_prefix_masks_among_its_tensors_and_two_files_for_a_tokenizer() {
    let fixture = fixture("gpt2");
    let mut files = fixture.files(Dtype::F32);
    files.retain(|(name, _)| *name != "tokenizer.json");
    let weights = files.pop().expect("weights").1;
    // Padded, so that the header keeps its length.
    let text = String::from_utf8_lossy(&weights[8..]);
    let header = text.find("}}").expect("a header") + 2;
    let renamed = text[..header].replace("\"transformer.", "\"");
    let spare = header - renamed.len();
    let header_bytes = format!("{renamed}{}", " ".repeat(spare));
    let data = &weights[8 + header..];
    let weights = [&weights[..8], header_bytes.as_bytes(), data].concat();
    files.push(("model.safetensors", weights));
    let mut masks = std::collections::BTreeMap::new();
    masks.insert("h.0.attn.bias".to_owned(), vec![1, 1, 64, 64]);
    files.push(("masks.safetensors", safetensors(&masks, Dtype::F32)));
    let vocabulary = json!({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3, "\u{120}": 4});
    files.push(("vocab.json", vocabulary.to_string().into()));
    files.push(("merges.txt", b"#version: 0.2\na b\n".to_vec()));
    let model = model(&files);
    assert_eq!(
        model.encode("ab a<|endoftext|>").expect("ids"),
        [2, 4, 0, 3]
    );
    assert_eq!(model.end_tokens, [2, 3]);
    check(model, &fixture);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_changed_file_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        family in prop::sample::select(vec!["llama", "phi3_long", "gpt2", "gemma3"]),
        file in 0..3usize,
    ) {
        let mut files = fixture(family).files(Dtype::Bf16);
        let bytes = &mut files[file].1;
        // Of the weights, what stands before them.
        let within = bytes.len().min(4000);
        for (at, byte) in changes {
            bytes[at.index(within)] = byte;
        }
        if let Ok(LoadedModel::Text(mut model)) = attempt(&files, &LoadOptions::default()) {
            let _ = model.encode("t1 t2 x");
            let blocks = table(0);
            let _ = model.lm.forward(&[Chunk {
                tokens: &[1, 2, 3],
                position: 0,
                blocks: &blocks,
                writes: true,
            }]);
        }
    }
}
