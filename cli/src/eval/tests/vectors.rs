//! Similarity by the vectors of an embeddings server.

use std::sync::{Arc, Mutex};

use super::*;
use crate::eval::vectors::BATCH;

/// Makes a vector of the length of a text and of its first byte, and keeps what it was asked.
async fn embeddings(seen: &Arc<Mutex<Vec<Vec<String>>>>) -> Url {
    let seen = Arc::clone(seen);
    let told = move |asked: Asked| {
        let input: Vec<String> =
            serde_json::from_value(asked.json["input"].clone()).expect("texts");
        seen.lock().expect("no panic").push(input.clone());
        async move {
            if asked.path != "/v1/embeddings" || asked.json["model"] != "e" {
                return reply(404, "");
            }
            let vectors = input.iter().enumerate().map(|(index, text)| {
                let first = text.bytes().next().unwrap_or_default();
                json!({"index": index, "embedding": [text.len(), first]})
            });
            // Servers that compute side by side may answer in any order.
            let vectors: Value = vectors.rev().collect();
            reply(200, &json!({"data": vectors}).to_string())
        }
    };
    serve(told).await
}

async fn similar(canary: &Url, embeddings: &Url, suite: &Suite) -> Result<Judged, Fault> {
    let args = format!(
        "--metric embeddingSimilarity --canary {canary} --model m \
         --embeddings {embeddings} --embeddings-model e --min 0.5"
    );
    judged(&parse(&args).expect("arguments"), suite).await
}

#[tokio::test]
async fn texts_are_embedded_once_in_batches() {
    let inputs: Vec<_> = (0..40)
        .map(|number| format!("reference {number:02}"))
        .collect();
    let items: Vec<_> = inputs
        .iter()
        .map(|text| (text.as_str(), text.as_str()))
        .collect();
    let suite = suite(Metric::EmbeddingSimilarity, &items);
    let seen = Arc::default();
    let (canary, url) = (model(|_| "reference 00").await, embeddings(&seen).await);
    let judged = similar(&canary, &url, &suite).await.expect("a verdict");
    assert_eq!(judged.verdict.to_string(), "pass: 1 meets min 0.5");
    let seen = seen.lock().expect("no panic");
    let mut sizes: Vec<_> = seen.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [inputs.len() - BATCH, BATCH]);
    let mut all: Vec<_> = seen.iter().flatten().cloned().collect();
    all.sort();
    assert_eq!(all, inputs);
}

#[tokio::test]
async fn each_text_gets_its_own_vector_and_an_empty_one_is_similar_to_nothing() {
    let suite = suite(
        Metric::EmbeddingSimilarity,
        &[("same", "ab"), ("other", "a"), ("none", "b")],
    );
    let seen = Arc::default();
    let canary = model(|input| match input {
        "same" => "ab",
        "other" => "~~~~~~~~~~~~",
        _ => " \n",
    });
    let (canary, url) = (canary.await, embeddings(&seen).await);
    let judged = similar(&canary, &url, &suite).await.expect("a verdict");
    let report: Value = serde_json::from_str(&judged.json).expect("JSON");
    let score = |id: &str| {
        let rows = report["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["id"] == id).expect("the item");
        row["answer"]["score"].as_f64().expect("a score")
    };
    assert!((score("same") - 1.0).abs() < 1e-9);
    // (12, 126) and (1, 97).
    let cosine = (12.0 + 126.0 * 97.0) / (12.0_f64.hypot(126.0) * 1.0_f64.hypot(97.0));
    assert!((score("other") - cosine).abs() < 1e-6, "{}", score("other"));
    assert_eq!(score("none"), 0.0);
    let seen = seen.lock().expect("no panic").concat();
    assert!(seen.iter().all(|text| !text.trim().is_empty()), "{seen:?}");
}

#[tokio::test]
async fn a_server_that_makes_too_few_vectors_is_told_with_the_items() {
    let suite = suite(
        Metric::EmbeddingSimilarity,
        &[("first", "a"), ("last", "b")],
    );
    let canary = model(|_| "a").await;
    let one = json!({"index": 0, "embedding": [1.0]});
    for data in [
        json!([one]),
        json!([one, one]),
        json!([]),
        json!([one, {"index": 1, "embedding": ["x"]}]),
    ] {
        let answer = reply(200, &json!({"data": data}).to_string());
        let url = serve(move |_| std::future::ready(answer.clone())).await;
        let fault = similar(&canary, &url, &suite).await.expect_err("too few");
        let text = fault.to_string();
        assert!(
            text.starts_with("texts of the items `first` to `last`: "),
            "{text}"
        );
        assert!(text.contains("not one vector for each text"), "{text}");
    }
}

/// Takes four tokens, each of which is a byte, and gives the vector of their count and of the last one.
async fn short_of_sight(tells: bool) -> Url {
    let told = move |asked: Asked| async move {
        match asked.path.as_str() {
            "/v1/embeddings" => {
                let inputs = asked.json["input"].as_array().expect("inputs").iter();
                let tokens = inputs.map(|input| match input {
                    Value::String(text) => text.bytes().map(u64::from).collect(),
                    tokens => serde_json::from_value(tokens.clone()).expect("tokens"),
                });
                let tokens: Vec<Vec<u64>> = tokens.collect();
                if tokens.iter().any(|tokens| tokens.len() > 4) {
                    return reply(400, "input 0 has too many tokens");
                }
                let vectors = tokens.iter().enumerate().map(|(index, tokens)| {
                    json!({"index": index, "embedding": [tokens.len(), tokens.last()]})
                });
                let vectors: Value = vectors.collect();
                reply(200, &json!({"data": vectors}).to_string())
            }
            "/tokenize" if tells => {
                let tokens = asked.json["prompt"].as_str().expect("a text").as_bytes();
                reply(
                    200,
                    &json!({"tokens": tokens, "max_model_len": 4}).to_string(),
                )
            }
            _ => reply(404, ""),
        }
    };
    serve(told).await
}

#[tokio::test]
async fn of_a_text_that_is_too_long_the_beginning_and_the_end_token_count() {
    let suite = suite(Metric::EmbeddingSimilarity, &[("a", "abcz")]);
    let (canary, url) = (model(|_| "a long one z").await, short_of_sight(true).await);
    let judged = similar(&canary, &url, &suite).await.expect("a verdict");
    assert_eq!(judged.verdict.to_string(), "pass: 1 meets min 0.5");
    let silent = short_of_sight(false).await;
    let fault = similar(&canary, &silent, &suite)
        .await
        .expect_err("too long");
    assert!(fault.to_string().contains("too many tokens"), "{fault}");
}
