//! Embeddings over HTTP: many short texts in one request, and texts of all lengths that come one by one.

use super::peer::Peer;
use super::random::Random;
use super::{Row, THREADS, alternate};
use anyhow::{Context, Result, bail};
use chandler_e2e::{Api, Server, layout};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{fs, io, thread};

const MODEL: &str = "minilm";
/// Holds the sentences, beside their reference vectors.
const SENTENCES: &str = "server/tests/fixtures/minilm_vectors.json";
/// Says how many tokens of a text the model takes.
const LIMIT_FILE: &str = "sentence_bert_config.json";
/// What it says here, where the published one has 256: as many as the model has positions.
const LIMIT: &str = r#"{"max_seq_length": 512, "do_lower_case": false}"#;
/// Each is one token of the model's vocabulary.
const WORDS: [&str; 16] = [
    "the", "water", "of", "a", "small", "river", "went", "under", "old", "house", "and", "people",
    "came", "from", "every", "town",
];
/// Tokens of the texts that come one by one, spread evenly; two of them stand around the words.
const TOKENS: std::ops::RangeInclusive<usize> = 10..=400;
/// How many of them there are.
const TEXTS: usize = 192;
/// Callers of whom each asks for one text at a time.
const CALLERS: usize = 32;

/// Measures texts a second.
///
/// # Errors
/// When either side fails.
pub(super) fn measure(runs: u32) -> Result<Vec<Row>> {
    let folder = lengthened(&layout::model(layout::EMBEDDING_MODEL)?)?;
    let mut peer = Peer::start("sentence-transformers", &folder)?;
    let server = Server::start(&layout::file_source(&folder), MODEL, THREADS)?;
    let mut row = |name: &str, texts: &[String], ours: &dyn Fn() -> Result<f64>| {
        println!("{name}");
        let request = json!({"sentences": texts});
        ours()?;
        peer.measure(&request)?;
        let pairs = alternate(runs, |_| ours(), |_| peer.measure(&request))?;
        anyhow::Ok(Row::new(name, peer.name(), "texts/s", &pairs))
    };
    let (mixed, listed) = (mixed(), listed()?);
    let rows = vec![
        row("embeddings", &mixed, &|| one_by_one(server.api(), &mixed))?,
        row("embeddings-short", &listed, &|| {
            together(server.api(), &listed)
        })?,
    ];
    server.stop()?;
    Ok(rows)
}

/// The model with a greater [`LIMIT`].
fn lengthened(model: &Path) -> Result<PathBuf> {
    let folder = layout::root().join("target/bench/minilm-512");
    copy(model, &folder).with_context(|| format!("can't write {}", folder.display()))?;
    fs::write(folder.join(LIMIT_FILE), LIMIT)?;
    Ok(folder)
}

/// Copies files, and the folders among them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied)?;
        } else {
            fs::copy(&path, &copied)?;
        }
    }
    Ok(())
}

/// Texts of [`TOKENS`] tokens each.
fn mixed() -> Vec<String> {
    let mut random = Random::new();
    let mut text = || {
        let tokens = TOKENS.start() + random.below(TOKENS.end() + 1 - TOKENS.start());
        let words = (2..tokens).map(|_| WORDS[random.below(WORDS.len())]);
        words.collect::<Vec<_>>().join(" ")
    };
    (0..TEXTS).map(|_| text()).collect()
}

/// 200 sentences, most of them short.
fn listed() -> Result<Vec<String>> {
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

/// Each text is a request; the server makes batches of what waits.
fn one_by_one(api: &Api, texts: &[String]) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let call = || {
        while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
            embed(api, std::slice::from_ref(text))?;
        }
        anyhow::Ok(())
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().try_for_each(|caller| {
            let called = caller.join();
            called.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(rate(texts.len(), start))
}

/// All texts are one request.
fn together(api: &Api, texts: &[String]) -> Result<f64> {
    let start = Instant::now();
    embed(api, texts)?;
    Ok(rate(texts.len(), start))
}

fn embed(api: &Api, texts: &[String]) -> Result<()> {
    let body = json!({"model": MODEL, "input": texts, "encoding_format": "base64"});
    let reply = api.post("/v1/embeddings", &body)?;
    let count = reply.json()["data"].as_array().map_or(0, Vec::len);
    if count != texts.len() {
        bail!("status {}: {}", reply.status, reply.text);
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}
