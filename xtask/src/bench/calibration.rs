//! The simulation against the world: times to the first token that `chandler bench` measures of a trace,
//! asked of local replicas behind the gateway, beside those that the simulation predicts from a replica
//! model that was fitted before, of one replica alone.
//!
//! A ratio is simulated over measured: 1 would be a prediction without fault.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use chandler_e2e::{Chandler, Server, layout};
use chandler_sim::traffic::ReplicaModel;
use chandler_sim::traffic::trace::{Bursts, Request, Trace};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::autoscale::{TRACES, first_trace, read};
use super::row::{self, Pair, Row};
use super::write;
use crate::{models, shell};

/// Compute threads of a replica: replicas that share processors slow each other, which no replica
/// model tells.
const THREADS: usize = 1;
/// Variable that candle reads its threads from.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
/// A burst of a trace that is made up, and how often one comes.
const BURST: Duration = Duration::from_secs(5);
const BURSTS_APART: f64 = 60.0;
/// How many times the mean rate a burst adds: not so much that replicas at four fifths of what they can
/// do get more than that. There a queue grows with the least error of what they can, and tells of
/// nothing else.
const BURST_FACTOR: f64 = 0.25;
/// Times whose quantiles are compared.
const QUANTILES: [&str; 3] = ["p95", "p50", "p99"];

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which sample is served.
    #[arg(long, value_enum, default_value = "embeddings")]
    model: Sample,
    /// CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens. Default: the first of the
    /// folder that `CHANDLER_TRACES` names, or one with bursts that is made up.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Length of a replay.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Shares of what the replicas can do that the trace asks of them.
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_values_t = [0.65])]
    loads: Vec<f64>,
    /// Counts of replicas.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 2])]
    replicas: Vec<u32>,
    /// How many replays of each, with traces of different seeds.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Length of each step of the measurement from which the replica model is fitted.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    fit_seconds: u64,
    /// Measure programs that are built already.
    #[arg(long)]
    built: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sample {
    /// Sentence embeddings, in batches.
    Embeddings,
    /// A small language model, one answer at a time.
    Chat,
}

impl Sample {
    fn name(self) -> &'static str {
        match self {
            Self::Embeddings => "embeddings",
            Self::Chat => "chat",
        }
    }

    fn source(self) -> Result<String> {
        let path = match self {
            Self::Embeddings => layout::EMBEDDING_MODEL,
            Self::Chat => layout::CHAT_MODEL,
        };
        Ok(layout::file_source(&layout::model(path)?))
    }

    /// Tokens of prompts and answers of a trace that is made up: so few that minutes hold many
    /// requests, even on a small machine.
    fn tokens(self) -> (u32, u32) {
        match self {
            Self::Embeddings => (64, 1),
            Self::Chat => (32, 6),
        }
    }
}

/// Fits, replays, and tells what came of it.
///
/// # Errors
/// When something that is needed can't be had, or what is measured fails.
pub(super) fn run(options: &Options) -> Result<()> {
    models::fetch(Path::new(models::FOLDER))?;
    if !options.built {
        shell::build_workspace()?;
    }
    let folder = layout::root().join("target/bench/calibration");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let given = given(options)?;
    let case = Case {
        options,
        mix: mix(options.model, given.as_ref()),
        given,
        folder,
    };
    let fitted = case.fit()?;
    let mut rows = Vec::new();
    for replicas in &options.replicas {
        rows.extend(case.replays(&fitted, *replicas)?);
    }
    // What was promised first.
    rows.sort_by_key(|row| !row.name.contains(QUANTILES[0]));
    write("calibration", &rows)?;
    print!("{}", row::table(&rows));
    Ok(())
}

/// The trace that is named, as long as it is replayed.
fn given(options: &Options) -> Result<Option<Trace>> {
    let path = match &options.trace {
        Some(path) => path.clone(),
        None if env::var_os(TRACES).is_some() => first_trace()?,
        None => return Ok(None),
    };
    Ok(Some(read(&path)?.first(options.length())))
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Tokens of a prompt and of an answer, in the mean, of which a model's measurement is made.
fn mix(sample: Sample, given: Option<&Trace>) -> (u32, u32) {
    let Some(trace) = given else {
        return sample.tokens();
    };
    let (prompt, generated) = trace.mean_tokens();
    // Half of what these small models take.
    let most = match sample {
        Sample::Embeddings => 128,
        Sample::Chat => 1024,
    };
    (
        (prompt as u32).clamp(8, most),
        (generated as u32).clamp(4, most / 2),
    )
}

/// A replica model that was fitted.
struct Fitted {
    path: PathBuf,
    model: ReplicaModel,
    /// Requests a second of the mix that one replica does at most.
    saturation: f64,
    /// Longest request in tokens, if the model tells one.
    longest: Option<u32>,
}

struct Case<'a> {
    options: &'a Options,
    mix: (u32, u32),
    given: Option<Trace>,
    folder: PathBuf,
}

impl Case<'_> {
    fn sample(&self) -> Sample {
        self.options.model
    }

    /// Measures one replica alone.
    fn fit(&self) -> Result<Fitted> {
        let name = self.sample().name();
        println!("one replica of {name} alone");
        let server = Server::start(&self.sample().source()?, name, THREADS)?;
        let path = self.folder.join(format!("{name}.yaml"));
        let step = format!("{}s", self.options.fit_seconds);
        let (prompt, generated) = (self.mix.0.to_string(), self.mix.1.max(4).to_string());
        let told = bench(&[
            server.api().base(),
            "--step",
            &step,
            "--prompt-tokens",
            &prompt,
            "--generated-tokens",
            &generated,
            "--out",
            &path.display().to_string(),
        ])?;
        server.stop()?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        println!("{text}");
        let saturation = told["measured"]["saturation"].as_f64();
        Ok(Fitted {
            model: ReplicaModel::parse(&text)?,
            path,
            saturation: saturation.context("no saturation was told")?,
            longest: told["longest"]
                .as_u64()
                .and_then(|it| u32::try_from(it).ok()),
        })
    }

    fn manifest(&self, replicas: u32) -> Result<PathBuf> {
        let name = self.sample().name();
        let manifest = json!({
            "apiVersion": "chandler.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {"model": {"source": self.sample().source()?}, "replicas": replicas},
        });
        let path = self.folder.join(format!("{name}-{replicas}x.json"));
        fs::write(&path, manifest.to_string()).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Replays traces against so many replicas, at each load.
    fn replays(&self, fitted: &Fitted, replicas: u32) -> Result<Vec<Row>> {
        let name = self.sample().name();
        let manifest = self.manifest(replicas)?;
        let threads = [(THREADS_VARIABLE, THREADS.to_string())];
        let arguments = ["-f".to_owned(), manifest.display().to_string()];
        let chandler = Chandler::up_with("127.0.0.1:0", &arguments, &threads)?;
        let api = chandler.api()?;
        chandler.wait_replicas(name, replicas as usize)?;
        let mut rows = Vec::new();
        for load in &self.options.loads {
            let mut pairs = QUANTILES.map(|_| Vec::new());
            for seed in 1..=self.options.seeds {
                let told = self.replay(api.base(), fitted, replicas, *load, seed)?;
                let quantile = |side: &str, at: &str| {
                    let value = told[side][at].as_f64();
                    value.with_context(|| format!("no {at} in {told}"))
                };
                for (pairs, at) in pairs.iter_mut().zip(QUANTILES) {
                    pairs.push(Pair {
                        ours: 1e3 * quantile("simulated", at)?,
                        peer: 1e3 * quantile("measured", at)?,
                    });
                }
            }
            for (pairs, at) in pairs.iter().zip(QUANTILES) {
                let name = format!("{at}-{name}-{replicas}x-{:.0}%", 100.0 * load);
                rows.push(Row::new(&name, "measured", "ms", pairs));
            }
        }
        chandler.stop()?;
        Ok(rows)
    }

    fn replay(
        &self,
        url: &str,
        fitted: &Fitted,
        replicas: u32,
        load: f64,
        seed: u64,
    ) -> Result<Value> {
        let trace = self.trace(fitted, load * f64::from(replicas), seed);
        let path = self.folder.join("trace.csv");
        fs::write(&path, csv(&trace)).with_context(|| path.display().to_string())?;
        let told = bench(&[
            url,
            "--model",
            self.sample().name(),
            "--trace",
            &path.display().to_string(),
            "--replica-model",
            &fitted.path.display().to_string(),
            "--replicas",
            &replicas.to_string(),
            "--seed",
            &seed.to_string(),
        ])?;
        let told = told["replay"].clone();
        println!("  {replicas} replicas at {load}, seed {seed}: {told}");
        Ok(told)
    }

    /// A trace that asks so much of what one replica can do.
    fn trace(&self, fitted: &Fitted, load: f64, seed: u64) -> Trace {
        let length = self.options.length();
        let Some(trace) = &self.given else {
            let count = (length.as_secs_f64() / BURSTS_APART).round();
            let more = count * BURST.as_secs_f64() * BURST_FACTOR / length.as_secs_f64();
            let rate = load * fitted.saturation / (1.0 + more);
            let (prompt, generated) = self.mix;
            let bursts = Bursts {
                count: count as u32,
                factor: BURST_FACTOR,
                length: BURST,
            };
            return Trace::constant(rate, length, prompt, generated, seed).bursty(bursts, seed);
        };
        let mix = Request {
            at: Duration::ZERO,
            prompt_tokens: self.mix.0,
            generated_tokens: self.mix.1,
        };
        let wanted = load * fitted.saturation * work(&fitted.model, &mix);
        let most = fitted.longest.unwrap_or(u32::MAX);
        let of = |request: &Request| {
            let prompt_tokens = request.prompt_tokens.min(most);
            work(
                &fitted.model,
                &Request {
                    prompt_tokens,
                    ..*request
                },
            )
        };
        let asked: f64 = trace.requests.iter().map(of).sum();
        trace.scaled(wanted * length.as_secs_f64() / asked.max(1e-9), seed)
    }
}

/// Seconds of a replica that a request takes, by its model, with as many beside it as there may be.
fn work(model: &ReplicaModel, request: &Request) -> f64 {
    let beside = match model.max_batch {
        1 => 1.0,
        // Of what comes all at once, few are in a batch.
        _ => f64::from(model.max_batch.min(8)),
    };
    let token = model.step_seconds / beside + model.sequence_seconds;
    f64::from(request.prompt_tokens) / model.prefill_tokens_per_second
        + f64::from(request.generated_tokens.max(1)) * token
}

/// The form in which public traces come.
fn csv(trace: &Trace) -> String {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for request in &trace.requests {
        let (seconds, micros) = (request.at.as_secs(), request.at.subsec_micros());
        let (minutes, second) = (seconds / 60, seconds % 60);
        let (hour, minute) = (minutes / 60, minutes % 60);
        text += &format!(
            "2024-01-01 {hour:02}:{minute:02}:{second:02}.{micros:06},{},{}\n",
            request.prompt_tokens, request.generated_tokens
        );
    }
    text
}

/// What `chandler bench` tells.
fn bench(arguments: &[&str]) -> Result<Value> {
    let mut command = shell::command(layout::binary("chandler")?);
    command.args(["bench", "--json"]).args(arguments);
    let told = shell::capture(&mut command)?;
    serde_json::from_str(&told).with_context(|| format!("chandler bench told no JSON: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_written_as_it_is_read() {
        let trace = Trace::constant(2.0, Duration::from_secs(3700), 100, 10, 1);
        let read = Trace::parse(&csv(&trace)).expect("a trace");
        assert_eq!(read.requests.len(), trace.requests.len());
        let first = trace.requests[0].at;
        for (one, other) in read.requests.iter().zip(&trace.requests) {
            assert_eq!(one.prompt_tokens, other.prompt_tokens);
            let apart = (one.at + first).abs_diff(other.at);
            assert!(apart <= Duration::from_micros(2), "{apart:?}");
        }
    }
}
