//! `cargo xtask demo`: both sample manifests served on this machine, and a question to each.

use crate::{models, shell};
use anyhow::{Context, Result, bail};
use chandler_e2e::api::chat_delta;
use chandler_e2e::process::signal_pid;
use chandler_e2e::{Api, Chandler};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

const SAMPLES: [&str; 2] = ["config/samples/embeddings.yaml", "config/samples/chat.yaml"];
const SENTENCE: &str = "Candles are made by a chandler.";
const QUESTION: &str = "What is the capital of France?";

/// Serves, asks, prints the answers and metrics; then stops (`once`) or serves on until a signal.
///
/// # Errors
/// When anything on the way fails. Nothing is left running then.
pub(crate) fn run(listen: &str, once: bool) -> Result<()> {
    models::fetch(Path::new(models::FOLDER))?;
    println!("building (the first time takes about ten minutes)");
    shell::build_workspace()?;
    println!("chandler up -f {} --listen {listen}", SAMPLES.join(" -f "));
    let arguments = SAMPLES.map(|sample| ["-f", sample]).concat();
    let mut chandler = Chandler::up(listen, &arguments)?;
    stop_on_signal(chandler.process().pid())?;
    let api = chandler.api()?;
    for model in ["embeddings", "chat"] {
        chandler.wait_ready(model)?;
        println!("{model} is ready");
    }
    list_models(&api)?;
    embed(&api)?;
    chat(&api)?;
    print_metrics(&api)?;
    if once {
        chandler.stop()?;
        println!("\nstopped");
        return Ok(());
    }
    println!("\nserving at {}/v1 until Ctrl-C", api.base());
    let status = chandler.process().join()?;
    if !status.success() {
        bail!(
            "chandler ended with {status}:\n{}",
            chandler.output().text()
        );
    }
    Ok(())
}

/// Passes an interruption on to `chandler`, whose end then ends this process too.
fn stop_on_signal(chandler: u32) -> Result<()> {
    let pass_on = move || {
        println!("\nstopping");
        let _ = signal_pid(chandler, Signal::SIGTERM);
    };
    ctrlc::set_handler(pass_on).context("can't watch for Ctrl-C")
}

fn list_models(api: &Api) -> Result<()> {
    let listed = api.get("/v1/models")?.json();
    let data = listed["data"]
        .as_array()
        .context("/v1/models lists nothing")?;
    let names: Vec<_> = data
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    println!("\nGET /v1/models: {}", names.join(", "));
    Ok(())
}

fn embed(api: &Api) -> Result<()> {
    println!("\nPOST /v1/embeddings {SENTENCE:?}");
    let reply = api.post(
        "/v1/embeddings",
        &json!({"model": "embeddings", "input": SENTENCE}),
    )?;
    let answer = reply.json();
    let vector = answer["data"][0]["embedding"].as_array();
    let vector = vector.with_context(|| format!("status {}: {}", reply.status, reply.text))?;
    let first: Vec<_> = vector
        .iter()
        .take(4)
        .map(|x| format!("{:.5}", number(x)))
        .collect();
    let length = vector.iter().map(|x| number(x).powi(2)).sum::<f64>().sqrt();
    println!(
        "[{}, …], {} numbers, length {length:.5}",
        first.join(", "),
        vector.len()
    );
    Ok(())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn chat(api: &Api) -> Result<()> {
    println!("\nPOST /v1/chat/completions {QUESTION:?}, streamed");
    let body = json!({
        "model": "chat",
        "messages": [
            {"role": "system", "content": "Answer in one short sentence."},
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 0,
        "max_tokens": 48,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let mut usage = Value::Null;
    let mut stream = api.stream("/v1/chat/completions", &body)?;
    for event in stream.by_ref() {
        let event = event?;
        if !event["error"].is_null() {
            bail!("the answer broke off: {event}");
        }
        print!("{}", chat_delta(&event));
        io::stdout().flush()?;
        if event["usage"].is_object() {
            usage = event["usage"].clone();
        }
    }
    println!();
    if !stream.is_done() {
        bail!("the stream ended without [DONE]");
    }
    println!(
        "{} tokens asked, {} answered",
        usage["prompt_tokens"], usage["completion_tokens"]
    );
    Ok(())
}

/// The counters and gauges that the gateway tells.
fn print_metrics(api: &Api) -> Result<()> {
    println!("\nGET /metrics");
    let text = api.get("/metrics")?.text;
    let is_telling = |line: &&str| !line.starts_with('#') && !line.contains("_bucket{");
    text.lines()
        .filter(is_telling)
        .for_each(|line| println!("{line}"));
    Ok(())
}
