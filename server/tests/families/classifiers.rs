//! Classifiers against the transformers package: the same labels with the same numbers, whatever is beside a text.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::path::Path;

use chandler_server::load::{ClassificationModel, LoadOptions, LoadedModel};
use serde::Deserialize;
use serde_json::Value;

use crate::fixture::{Dtype, attempt, safetensors, tokenizer};

/// How far a number may be from the reference.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Fixture {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    config: Value,
    /// Shapes by name.
    tensors: BTreeMap<String, Vec<usize>>,
    labels: Vec<String>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    tokens: Vec<u32>,
    /// One for each label.
    scores: Vec<f32>,
}

impl Case {
    fn model(&self, dtype: Dtype, options: &LoadOptions) -> ClassificationModel {
        let vocab = self.config["vocab_size"].as_u64().expect("a size") as usize;
        let files = [
            ("config.json", self.config.to_string().into()),
            ("tokenizer.json", tokenizer(vocab).to_string().into()),
            ("model.safetensors", safetensors(&self.tensors, dtype)),
        ];
        match attempt(&files, options).expect("a model") {
            LoadedModel::Classification(model) => model,
            _ => panic!("a model of the wrong kind"),
        }
    }

    fn tokens(&self) -> Vec<&[u32]> {
        self.texts.iter().map(|text| &*text.tokens).collect()
    }

    /// Fails unless `found` are the numbers of the reference.
    fn check(&self, name: &str, found: &[Vec<f32>]) {
        assert_eq!(found.len(), self.texts.len());
        for (text, found) in self.texts.iter().zip(found) {
            assert_eq!(found.len(), self.labels.len());
            let mut apart = found.iter().zip(&text.scores).map(|(a, b)| (a - b).abs());
            let far = apart.find(|apart| apart.is_nan() || *apart >= TOLERANCE);
            assert_eq!(far, None, "{name}, {} tokens: {found:?}", text.tokens.len());
        }
    }
}

fn cases() -> BTreeMap<String, Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/classifiers.json");
    let text = std::fs::read(path).expect("a fixture");
    let fixture: Fixture = serde_json::from_slice(&text).expect("a fixture");
    assert!(fixture.cases.len() >= 6);
    fixture.cases
}

fn numbers(model: &mut ClassificationModel, texts: &[&[u32]]) -> Vec<Vec<f32>> {
    model.encoder.embedder.embed(texts).expect("numbers")
}

#[test]
fn every_problem_has_the_labels_and_numbers_of_the_pipeline() {
    for (name, case) in cases() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let mut model = case.model(dtype, &LoadOptions::default());
            assert_eq!(model.labels, case.labels, "{name}");
            case.check(&name, &numbers(&mut model, &case.tokens()));
        }
    }
}

#[test]
fn tensor_operations_give_the_same_numbers() {
    let options = LoadOptions {
        tensor_ops: true,
        ..LoadOptions::default()
    };
    for (name, case) in cases() {
        let mut model = case.model(Dtype::F32, &options);
        case.check(&name, &numbers(&mut model, &case.tokens()));
    }
}

#[test]
fn what_is_beside_a_text_changes_no_bit_of_its_numbers() {
    for (name, case) in cases() {
        let mut model = case.model(Dtype::F32, &LoadOptions::default());
        let texts = case.tokens();
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .map(|text| numbers(&mut model, &[text]).remove(0))
            .collect();
        assert_eq!(numbers(&mut model, &texts), alone, "{name}");
        let turned: Vec<&[u32]> = texts.iter().rev().copied().collect();
        let found: Vec<Vec<f32>> = numbers(&mut model, &turned).into_iter().rev().collect();
        assert_eq!(found, alone, "{name}, turned");
        // Enough of them for several chunks of what is computed at once.
        let many = texts.repeat(20);
        let repeated: Vec<Vec<f32>> = repeat_n(alone, 20).flatten().collect();
        assert_eq!(numbers(&mut model, &many), repeated, "{name}, many");
    }
}
