//! The encoder against sentence-transformers: the same texts give the same vectors.

mod models;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chandler_server::load::EmbeddingModel;
use serde::Deserialize;

const LEAST_COSINE: f64 = 0.9999;
/// How far a value of a vector of length 1 may move with the company that its text keeps.
const ROUNDING: f32 = 1e-5;

#[derive(Deserialize)]
struct Fixture {
    dimensions: usize,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    tokens: usize,
    vector: String,
}

impl Sentence {
    fn reference(&self) -> Vec<f32> {
        let bytes = STANDARD.decode(&self.vector).expect("base64");
        let values = bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
            .collect()
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/minilm_vectors.json")).expect("a fixture")
}

fn ids(model: &EmbeddingModel, text: &str) -> Vec<u32> {
    let encoding = model.tokenizer.encode(text, true).expect("ids");
    encoding.get_ids().to_vec()
}

fn embed(model: &mut EmbeddingModel, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    model.embedder.embed(&texts).expect("vectors")
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_equal_those_of_sentence_transformers() {
    let mut model = models::minilm();
    let fixture = fixture();
    assert_eq!(fixture.sentences.len(), 200);
    assert_eq!(model.embedder.dimensions(), fixture.dimensions);
    let mut least = f64::INFINITY;
    for sentence in &fixture.sentences {
        let ids = ids(&model, &sentence.text);
        assert_eq!(ids.len(), sentence.tokens, "{:?}", sentence.text);
        let vector = embed(&mut model, &[ids]).remove(0);
        let cosine = cosine(&vector, &sentence.reference());
        assert!(cosine >= LEAST_COSINE, "{cosine}: {:?}", sentence.text);
        least = least.min(cosine);
        let length: f32 = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < ROUNDING, "length {length}");
    }
    println!("least cosine of {}: {least:.9}", fixture.sentences.len());
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let mut model = models::minilm();
    let texts: Vec<_> = fixture()
        .sentences
        .iter()
        .map(|s| ids(&model, &s.text))
        .collect();
    let together = embed(&mut model, &texts);
    assert_eq!(together.len(), texts.len());
    for (text, vector) in texts.into_iter().zip(together) {
        let alone = embed(&mut model, &[text]).remove(0);
        let moved = vector.iter().zip(&alone).map(|(a, b)| (a - b).abs());
        assert!(moved.fold(0f32, f32::max) < ROUNDING);
    }
}

#[test]
fn tensor_ops_and_kernels_give_the_same_vectors() {
    let (mut by_kernels, mut by_tensor_ops) = (models::minilm(), models::minilm_by_tensor_ops());
    let texts: Vec<_> = fixture()
        .sentences
        .iter()
        .map(|s| ids(&by_kernels, &s.text))
        .collect();
    let kernels = embed(&mut by_kernels, &texts).concat();
    let tensor_ops = embed(&mut by_tensor_ops, &texts).concat();
    assert_eq!(kernels.len(), tensor_ops.len());
    let apart = kernels.iter().zip(&tensor_ops).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0f32, f32::max) < ROUNDING);
    assert!(tensor_ops.iter().all(|x| x.is_finite()));
}

#[test]
fn the_longest_text_is_taken_and_one_token_more_refused() {
    let mut model = models::minilm();
    let most = model.embedder.max_tokens();
    assert_eq!(most, 256);
    assert_eq!(embed(&mut model, &[vec![1996; most]]).len(), 1);
    assert!(model.embedder.embed(&[&vec![1996; most + 1]]).is_err());
    assert!(model.embedder.embed(&[&[]]).is_err());
    assert!(model.embedder.embed(&[&[u32::MAX]]).is_err());
    assert!(embed(&mut model, &[]).is_empty());
}

#[test]
fn the_tokenizer_neither_pads_nor_truncates() {
    let model = models::minilm();
    assert_eq!(ids(&model, "a").len(), 3);
    assert_eq!(ids(&model, &"word ".repeat(1000)).len(), 1002);
}
