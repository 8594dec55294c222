//! What stands around an encoder: pooling, normalisation, labels, shards, and files that do not fit.

mod tiny;

use chandler_server::load::{
    ClassificationModel, EmbeddingModel, LoadError, LoadOptions, LoadedModel, Task, load,
};
use serde_json::{Value, json};
use tempfile::TempDir;

type Files = Vec<(&'static str, Vec<u8>)>;

fn attempt(files: &Files) -> Result<EmbeddingModel, LoadError> {
    attempt_with(files, &LoadOptions::default())
}

fn attempt_with(files: &Files, options: &LoadOptions) -> Result<EmbeddingModel, LoadError> {
    match load_with(files, options)? {
        LoadedModel::Embedding(model) => Ok(model),
        _ => panic!("a model of the wrong kind"),
    }
}

fn load_with(files: &Files, options: &LoadOptions) -> Result<LoadedModel, LoadError> {
    let root = TempDir::new().expect("a folder");
    let names = tiny::write(root.path(), files);
    load(root.path(), &names, options, &|_, _| {})
}

fn classifier(files: &Files) -> Result<ClassificationModel, LoadError> {
    match load_with(files, &LoadOptions::default())? {
        LoadedModel::Classification(model) => Ok(model),
        _ => panic!("a model of the wrong kind"),
    }
}

fn embed(files: &Files, ids: &[u32]) -> Vec<f32> {
    let mut model = attempt(files).expect("a model");
    model.embedder.embed(&[ids]).expect("a vector").remove(0)
}

/// The tiny model with `change` made to one of its JSON files.
fn changed(name: &'static str, change: impl Fn(&mut Value)) -> Files {
    changed_of(tiny::bert(), name, change)
}

/// The tiny classifier with another value in its configuration.
fn classifier_with(key: &str, value: Value) -> Files {
    changed_of(tiny::classifier(), "config.json", |config| {
        config[key] = value.clone();
    })
}

fn changed_of(mut files: Files, name: &str, change: impl Fn(&mut Value)) -> Files {
    let file = files.iter_mut().find(|(file, _)| *file == name);
    let bytes = &mut file.expect("a file").1;
    let mut value = serde_json::from_slice(bytes).expect("JSON");
    change(&mut value);
    *bytes = value.to_string().into();
    files
}

fn pooled(mode: &str) -> Files {
    let mut files = changed("1_Pooling/config.json", |config| {
        *config = json!({ mode: true });
    });
    // Without the last module, Normalize.
    let modules = changed("modules.json", |modules| {
        modules.as_array_mut().expect("an array").pop();
    });
    files[1] = modules[1].clone();
    files
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn assert_fails(files: &Files, reason: &str, part: &str) {
    assert_fails_with(files, &LoadOptions::default(), reason, part);
}

fn assert_fails_with(files: &Files, options: &LoadOptions, reason: &str, part: &str) {
    let error = load_with(files, options).expect_err("an error");
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn tensor_ops_and_kernels_give_the_same_vectors() {
    let mut by_kernels = attempt(&tiny::bert()).expect("a model");
    let options = LoadOptions {
        tensor_ops: true,
        ..LoadOptions::default()
    };
    let mut by_tensor_ops = attempt_with(&tiny::bert(), &options).expect("a model");
    let most = by_kernels.embedder.max_tokens();
    let texts: Vec<Vec<u32>> = (1..=most)
        .map(|length| (0..length as u32).map(|at| at * 7 % 3).collect())
        .collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let [kernels, tensor_ops] = [&mut by_kernels, &mut by_tensor_ops]
        .map(|model| model.embedder.embed(&texts).expect("vectors").concat());
    assert_eq!(kernels.len(), tensor_ops.len());
    let apart = kernels.iter().zip(&tensor_ops).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0f32, f32::max) < 1e-5);
    assert!(tensor_ops.iter().all(|x| x.is_finite()));
}

#[test]
fn vectors_are_normalised_only_where_the_modules_say_so() {
    let ids = [0, 1, 2];
    assert!((length(&embed(&tiny::bert(), &ids)) - 1.0).abs() < 1e-6);
    let plain = embed(&pooled("pooling_mode_mean_tokens"), &ids);
    assert!((length(&plain) - 1.0).abs() > 1e-3);
    let mut bare = tiny::bert();
    bare.retain(|(name, _)| *name != "modules.json");
    assert_eq!(embed(&bare, &ids), plain, "a plain encoder is mean-pooled");
}

#[test]
fn pooling_is_the_one_that_the_config_names() {
    let ids = [0, 1, 2];
    let [cls, mean, max] = ["cls_token", "mean_tokens", "max_tokens"]
        .map(|mode| embed(&pooled(&format!("pooling_mode_{mode}")), &ids));
    for ((cls, mean), max) in cls.iter().zip(&mean).zip(&max) {
        assert!(mean < max && cls <= max);
    }
    assert_ne!(cls, mean);
    let newer = changed("1_Pooling/config.json", |config| {
        *config = json!({"pooling_mode": "cls"});
    });
    let vector = embed(&newer, &ids);
    for (a, b) in vector.iter().zip(&cls) {
        assert!((a - b / length(&cls)).abs() < 1e-6);
    }
}

#[test]
fn modules_and_settings_that_are_not_known_are_refused() {
    let both = changed("1_Pooling/config.json", |config| {
        config["pooling_mode_cls_token"] = true.into();
    });
    assert_fails(&both, "ConfigInvalid", "`cls and mean` is not supported");
    let last = changed("1_Pooling/config.json", |config| {
        *config = json!({"pooling_mode_lasttoken": true});
    });
    assert_fails(&last, "ConfigInvalid", "exactly one of cls, mean, max");
    let dense = changed("modules.json", |modules| {
        modules[2]["type"] = "sentence_transformers.models.Dense".into();
    });
    assert_fails(&dense, "ConfigInvalid", "Dense` is not supported");
    let set = |key: &'static str, value: Value| changed("config.json", |c| c[key] = value.clone());
    let other = set("model_type", "deberta-v2".into());
    assert_fails(
        &other,
        "UnknownArchitecture",
        "`deberta-v2` is not supported",
    );
    let relative = set("position_embedding_type", "relative_key".into());
    assert_fails(&relative, "ConfigInvalid", "relative_key");
    assert_fails(
        &set("hidden_act", "swish".into()),
        "ConfigInvalid",
        "known are gelu",
    );
    assert_fails(
        &set("num_attention_heads", 3.into()),
        "ConfigInvalid",
        "multiple",
    );
    assert_fails(
        &set("num_attention_heads", 0.into()),
        "ConfigInvalid",
        "above 0",
    );
}

#[test]
fn weights_that_do_not_fit_the_config_are_refused() {
    let set = |key: &'static str, value: u64| changed("config.json", |c| c[key] = value.into());
    assert_fails(
        &set("num_hidden_layers", 2),
        "WeightsInvalid",
        "encoder.layer.1",
    );
    assert_fails(&set("vocab_size", 6), "WeightsInvalid", "has shape [5, 8]");
    assert_fails(
        &set("num_hidden_layers", u64::MAX),
        "WeightsInvalid",
        "is missing",
    );
}

#[test]
fn every_safetensors_file_that_is_cut_short_is_called_truncated() {
    let files = tiny::bert();
    let whole = files[4].1.len();
    for length in (0..whole).step_by(97).chain([whole - 1]) {
        let mut files = files.clone();
        files[4].1.truncate(length);
        assert_fails(
            &files,
            "WeightsTruncated",
            &format!("the file has {length}"),
        );
    }
}

#[test]
fn an_index_names_the_files_that_must_be_there() {
    let index = |file: &str| {
        let mut files = tiny::bert();
        let index = json!({"weight_map": {"embeddings.word_embeddings.weight": file}});
        files.push(("model.safetensors.index.json", index.to_string().into()));
        files
    };
    assert!(attempt(&index("model.safetensors")).is_ok());
    assert_fails(
        &index("other.safetensors"),
        "WeightsMissing",
        "`other.safetensors` is absent",
    );
}

#[test]
fn a_text_may_be_as_long_as_the_sentence_config_and_the_positions_allow() {
    let mut files = tiny::bert();
    assert_eq!(attempt(&files).expect("a model").embedder.max_tokens(), 12);
    files.push((
        "sentence_bert_config.json",
        b"{\"max_seq_length\": 7}".to_vec(),
    ));
    assert_eq!(attempt(&files).expect("a model").embedder.max_tokens(), 7);
}

#[test]
fn a_classifier_is_told_by_its_architecture() {
    let mut model = classifier(&tiny::classifier()).expect("a model");
    assert_eq!(model.labels, ["good", "bad", "ugly"]);
    assert_eq!(model.encoder.embedder.dimensions(), 3);
    let shares = model.encoder.embedder.embed(&[&[0, 1], &[2]]);
    for shares in shares.expect("numbers") {
        assert_eq!(shares.len(), 3);
        assert!(
            (shares.iter().sum::<f32>() - 1.0).abs() < 1e-6,
            "{shares:?}"
        );
    }
    let masked = json!(["BertForMaskedLM"]);
    let encoder = attempt(&classifier_with("architectures", masked));
    assert_eq!(encoder.expect("an encoder").embedder.dimensions(), 8);
    let mut with_modules = tiny::classifier();
    let modules = tiny::bert().into_iter();
    let around = ["modules.json", "1_Pooling/config.json"];
    with_modules.extend(modules.filter(|(name, _)| around.contains(name)));
    let encoder = attempt(&with_modules).expect("an encoder");
    assert_eq!(encoder.embedder.dimensions(), 8);
}

#[test]
fn heads_and_labels_that_are_not_known_are_refused() {
    let tags = classifier_with("architectures", json!(["BertForTokenClassification"]));
    assert_fails(
        &tags,
        "UnknownArchitecture",
        "BertForSequenceClassification",
    );
    for (key, value, part) in [
        (
            "problem_type",
            json!("poetry"),
            "multi_label_classification",
        ),
        (
            "id2label",
            json!({"0": "good", "3": "bad"}),
            "must be 0 to 1",
        ),
        ("id2label", json!(["good"]), "config.json"),
        ("num_labels", json!(4), "names 3"),
        ("architectures", json!("Bert"), "config.json"),
    ] {
        assert_fails(&classifier_with(key, value), "ConfigInvalid", part);
    }
    let two = classifier_with("id2label", json!({"0": "good", "1": "bad"}));
    assert_fails(
        &two,
        "WeightsInvalid",
        "`classifier.weight` has shape [3, 8]",
    );
    let mut untold = classifier_with("id2label", json!(null));
    untold = changed_of(untold, "config.json", |c| c["num_labels"] = u64::MAX.into());
    assert_fails(&untold, "WeightsInvalid", "`classifier.weight`");
    let mut headless = changed("config.json", |config| {
        config["architectures"] = json!(["BertForSequenceClassification"]);
    });
    headless.retain(|(name, _)| *name != "modules.json");
    assert_fails(
        &headless,
        "WeightsInvalid",
        "`pooler.dense.weight` is missing",
    );
}

#[test]
fn an_encoder_does_the_task_that_its_head_is_for() {
    let task = |task| LoadOptions {
        task,
        ..LoadOptions::default()
    };
    assert!(load_with(&tiny::classifier(), &task(Task::Classification)).is_ok());
    for (files, asked, can) in [
        (
            tiny::classifier(),
            Task::Embedding,
            "it can do classification",
        ),
        (tiny::classifier(), Task::Chat, "it can do classification"),
        (tiny::bert(), Task::Classification, "it can do embedding"),
        (
            vec![(tiny::GGUF, tiny::llama().bytes())],
            Task::Classification,
            "it can do chat, completion",
        ),
    ] {
        assert_fails_with(&files, &task(asked), "TaskMismatch", can);
    }
}
