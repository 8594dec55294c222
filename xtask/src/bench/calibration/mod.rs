//! The simulation against the world: times to the first token that `chandler bench` measures of a trace,
//! asked of local replicas behind the gateway, beside those that the simulation predicts from a replica
//! model that was fitted before, of one replica.
//!
//! Replicas on one machine share its memory and its caches, and so slow each other. Where there are to be
//! several, the model is fitted of one with as many neighbours, which are asked as much as it will be.
//!
//! A ratio is simulated over measured: 1 would be a prediction without fault.

mod asked;
mod fit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use chandler_e2e::{Chandler, layout};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::asked::{Asked, write_csv};
use self::fit::Fitted;
use super::row::{self, Pair, Row};
use super::write;
use crate::{models, shell};

/// Compute threads of a replica: replicas that share processors slow each other, which no replica
/// model tells.
const THREADS: usize = 1;
/// Variable that candle reads its threads from.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
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
    let case = Case {
        options,
        asked: Asked::new(options)?,
        folder,
    };
    let alone = case.fit_alone()?;
    let mut rows = Vec::new();
    for replicas in &options.replicas {
        for load in &options.loads {
            rows.extend(case.compared(&alone, *replicas, *load)?);
        }
    }
    // What was promised first.
    rows.sort_by_key(|row| !row.name.contains(QUANTILES[0]));
    write("calibration", &rows)?;
    print!("{}", row::table(&rows));
    Ok(())
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

struct Case<'a> {
    options: &'a Options,
    asked: Asked,
    folder: PathBuf,
}

impl Case<'_> {
    fn sample(&self) -> Sample {
        self.options.model
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

    /// Replays traces that ask so much of so many replicas.
    fn compared(&self, alone: &Fitted, replicas: u32, load: f64) -> Result<Vec<Row>> {
        let beside;
        let fitted = match replicas {
            0 | 1 => alone,
            several => {
                beside = self.fit_beside(alone, several - 1, load)?;
                &beside
            }
        };
        let name = self.sample().name();
        let manifest = self.manifest(replicas)?;
        let threads = [(THREADS_VARIABLE, THREADS.to_string())];
        let arguments = ["-f".to_owned(), manifest.display().to_string()];
        let chandler = Chandler::up_with("127.0.0.1:0", &arguments, &threads)?;
        let api = chandler.api()?;
        chandler.wait_replicas(name, replicas as usize)?;
        let mut pairs = QUANTILES.map(|_| Vec::new());
        for seed in 1..=self.options.seeds {
            let told = self.replay(api.base(), fitted, replicas, load, seed)?;
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
        chandler.stop()?;
        let rows = pairs.iter().zip(QUANTILES).map(|(pairs, at)| {
            let name = format!("{at}-{name}-{replicas}x-{:.0}%", 100.0 * load);
            Row::new(&name, "measured", "ms", pairs)
        });
        Ok(rows.collect())
    }

    fn replay(
        &self,
        url: &str,
        fitted: &Fitted,
        replicas: u32,
        load: f64,
        seed: u64,
    ) -> Result<Value> {
        let trace = self.asked.trace(fitted, load * f64::from(replicas), seed);
        let path = self.folder.join("trace.csv");
        write_csv(&path, &trace)?;
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
}

/// `chandler bench`, still without an address.
fn bench_command() -> Result<Command> {
    let mut command = shell::command(layout::binary("chandler")?);
    command.args(["bench", "--json"]);
    Ok(command)
}

/// What `chandler bench` tells.
fn bench(arguments: &[&str]) -> Result<Value> {
    let told = shell::capture(bench_command()?.args(arguments))?;
    serde_json::from_str(&told).with_context(|| format!("chandler bench told no JSON: {told}"))
}
