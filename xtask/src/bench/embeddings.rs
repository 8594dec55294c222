//! Embeddings: 200 sentences of mixed length in one request.

use super::peer::Peer;
use super::{Row, THREADS, alternate};
use anyhow::{Context, Result, bail};
use chandler_e2e::{Api, Server, layout};
use serde_json::{Value, json};
use std::fs;
use std::time::Instant;

const MODEL: &str = "minilm";
/// Holds the sentences, beside their reference vectors.
const SENTENCES: &str = "server/tests/fixtures/minilm_vectors.json";

/// Measures sentences a second.
///
/// # Errors
/// When either side fails.
pub(super) fn measure(runs: u32) -> Result<Vec<Row>> {
    let folder = layout::model(layout::EMBEDDING_MODEL)?;
    let sentences = sentences()?;
    let mut peer = Peer::start("sentence-transformers", &folder)?;
    let server = Server::start(&layout::file_source(&folder), MODEL, THREADS)?;
    let name = peer.name().to_owned();
    let request = json!({"sentences": sentences});

    println!("{} sentences of mixed length", sentences.len());
    embed(server.api(), &sentences)?;
    peer.measure(&request)?;
    let pairs = alternate(
        runs,
        |_| embed(server.api(), &sentences),
        |_| peer.measure(&request),
    )?;
    server.stop()?;
    Ok(vec![Row::new(
        "minilm-200-mixed",
        &name,
        "sentences/s",
        &pairs,
    )])
}

fn sentences() -> Result<Vec<String>> {
    let bytes = fs::read(layout::root().join(SENTENCES)).context(SENTENCES)?;
    let fixture: Value = serde_json::from_slice(&bytes).context(SENTENCES)?;
    let listed = fixture["sentences"]
        .as_array()
        .context("it has no sentences")?;
    let texts = listed
        .iter()
        .map(|sentence| sentence["text"].as_str().map(str::to_owned));
    texts
        .collect::<Option<_>>()
        .context("a sentence has no text")
}

fn embed(api: &Api, sentences: &[String]) -> Result<f64> {
    let body = json!({"model": MODEL, "input": sentences, "encoding_format": "base64"});
    let start = Instant::now();
    let reply = api.post("/v1/embeddings", &body)?;
    let seconds = start.elapsed().as_secs_f64();
    let count = reply.json()["data"].as_array().map_or(0, Vec::len);
    if count != sentences.len() {
        bail!("status {}: {}", reply.status, reply.text);
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(count as f64 / seconds)
}
