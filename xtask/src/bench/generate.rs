//! Text generation: a small quantised language model, one request at a time.

use super::peer::Peer;
use super::{Row, THREADS, alternate};
use anyhow::{Context, Result, bail};
use chandler_e2e::{Api, Server, layout};
use serde_json::{Value, json};
use std::time::Instant;

const MODEL: &str = "smollm2";
const DECODED_TOKENS: u32 = 128;
/// Tells a long story without an early end.
const STORY: &str = "Once upon a time, in a village by the sea, there lived a chandler who";
/// About ten tokens; the prompt of about 512 tokens repeats it.
const SENTENCE: &str = " The quick brown fox jumps over the lazy dog.";
const SENTENCES: usize = 51;

/// The number of no run.
const WARM_UP: u32 = 9999;

/// Measures decode and prefill.
///
/// # Errors
/// When either side fails.
pub(super) fn measure(runs: u32) -> Result<Vec<Row>> {
    let file = layout::model(layout::CHAT_MODEL)?;
    let mut peer = Peer::start("llama", &file)?;
    let server = Server::start(&layout::file_source(&file), MODEL, THREADS)?;
    let api = server.api();
    let name = peer.name().to_owned();

    println!("decode, one sequence");
    decode(api, WARM_UP)?;
    peer.measure(&decode_request(WARM_UP))?;
    let decoded = alternate(
        runs,
        |run| decode(api, run),
        |run| peer.measure(&decode_request(run)),
    )?;
    println!("prefill, about 512 tokens");
    let prefilled = alternate(
        runs,
        |run| prefill(api, run),
        |run| peer.measure(&prefill_request(run)),
    )?;
    server.stop()?;
    Ok(vec![
        Row::new("smollm2-decode-1", &name, "tokens/s", &decoded),
        Row::new("smollm2-prefill-512", &name, "tokens/s", &prefilled),
    ])
}

/// A prompt that no cache of prompts has seen.
fn fresh(run: u32, text: &str) -> String {
    format!("Chapter {}.{text}", run + 1)
}

fn decode_request(run: u32) -> Value {
    json!({"task": "decode", "prompt": fresh(run, STORY), "tokens": DECODED_TOKENS})
}

fn prefill_request(run: u32) -> Value {
    json!({"task": "prefill", "prompt": fresh(run, &SENTENCE.repeat(SENTENCES))})
}

/// Tokens a second between the first and the last one.
fn decode(api: &Api, run: u32) -> Result<f64> {
    let body = json!({
        "model": MODEL,
        "prompt": fresh(run, STORY),
        "max_tokens": DECODED_TOKENS,
        "temperature": 0,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let mut first = None;
    let mut last = Instant::now();
    let mut tokens = 0;
    for event in api.stream("/v1/completions", &body)? {
        let event = event?;
        if event["choices"][0]["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
        {
            last = Instant::now();
            first.get_or_insert(last);
        }
        tokens = event["usage"]["completion_tokens"]
            .as_u64()
            .unwrap_or(tokens);
    }
    if tokens < u64::from(DECODED_TOKENS) / 2 {
        bail!("only {tokens} tokens were generated: too few to measure");
    }
    let seconds = (last - first.context("no text came")?).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    Ok((tokens - 1) as f64 / seconds)
}

/// Prompt tokens a second, up to the first generated token.
fn prefill(api: &Api, run: u32) -> Result<f64> {
    let prompt = fresh(run, &SENTENCE.repeat(SENTENCES));
    let body = json!({"model": MODEL, "prompt": prompt, "max_tokens": 1, "temperature": 0});
    let start = Instant::now();
    let reply = api.post("/v1/completions", &body)?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens = reply.json()["usage"]["prompt_tokens"].as_f64();
    Ok(tokens.with_context(|| format!("status {}: {}", reply.status, reply.text))? / seconds)
}
