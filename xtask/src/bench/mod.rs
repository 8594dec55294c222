//! `cargo xtask bench`: Chandler against a peer on the same machine, with the same threads; its
//! simulation against the world ([`calibration`]); and ([`quiet`]) what models at rest cost a cluster.
//!
//! Machines are noisy, so the two take turns: each run measures one, then the other, and the
//! ratio is taken within the pair. A measurement is the best of three, since a disturbance only
//! ever slows down. A row tells the median of the pairs' ratios, the least and greatest of them
//! as the spread, and whether either side's own measurements lie too far apart to be believed.

#[cfg(target_os = "linux")]
mod alive;
mod autoscale;
mod calibration;
mod embeddings;
#[cfg(target_os = "linux")]
mod gateway;
mod generate;
mod gpu;
mod peer;
mod proc;
mod quiet;
mod random;
mod rollouts;
mod row;

use crate::{models, shell};
use anyhow::{Context, Result};
use chandler_e2e::layout;
use clap::{Args, Subcommand};
use row::{Pair, Row};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Compute threads of either side.
const THREADS: usize = 2;

/// Measurements of which the best counts.
const REPEATS: u32 = 3;

/// Beneath a table with a disturbed row.
const NOISY: &str = "* the machine was busy with something else: measure again when it is quiet";

/// What can be measured. The results go to `target/bench` as well.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Text generation over HTTP, against llama.cpp's own server.
    Generate(Runs),
    /// Text generation on an NVIDIA GPU over HTTP, against transformers on the same GPU.
    Gpu(gpu::Options),
    /// Embeddings over HTTP, against sentence-transformers in its own process.
    Embeddings(Runs),
    /// The gateway, against HAProxy and nginx before the same replicas.
    #[cfg(target_os = "linux")]
    Gateway(gateway::Options),
    /// The replicas that `gateway` measures before.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    GatewayUpstream,
    /// A server's health under the load of many clients.
    #[cfg(target_os = "linux")]
    Alive(alive::Options),
    /// Replica-hours of autoscalers, simulated with a trace.
    Autoscale(autoscale::Options),
    /// The simulation's times to the first token, beside those of local replicas.
    Calibration(calibration::Options),
    /// How often the traffic analysis of rollouts errs, simulated.
    Rollouts(rollouts::Options),
    /// Requests and memory of models at rest, on a cluster.
    Quiet(quiet::Options),
    /// What `quiet` runs in the cluster's network.
    #[command(hide = true)]
    QuietInside(quiet::Options),
}

/// How often something is measured.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Pairs of runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Measures, and tells what came of it.
///
/// # Errors
/// When something that is needed can't be had, or what is measured fails.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Generate(runs) => compare("generate", runs, generate::measure),
        Command::Gpu(options) => gpu::run(options),
        Command::Embeddings(runs) => compare("embeddings", runs, embeddings::measure),
        #[cfg(target_os = "linux")]
        Command::Gateway(options) => gateway::run(options),
        #[cfg(target_os = "linux")]
        Command::GatewayUpstream => gateway::run_upstream(),
        #[cfg(target_os = "linux")]
        Command::Alive(options) => alive::run(options),
        Command::Autoscale(options) => autoscale::run(options),
        Command::Calibration(options) => calibration::run(options),
        Command::Rollouts(options) => rollouts::run(options),
        Command::Quiet(options) => quiet::run(options),
        Command::QuietInside(options) => quiet::run_inside(options),
    }
}

/// Measures against a peer, and prints a table.
fn compare(name: &str, runs: &Runs, measure: fn(u32) -> Result<Vec<Row>>) -> Result<()> {
    models::fetch(Path::new(models::FOLDER))?;
    shell::build_workspace()?;
    tell(name, &measure(runs.runs)?)
}

/// Writes rows, and prints them as a table.
fn tell(name: &str, rows: &[Row]) -> Result<()> {
    write(name, &rows)?;
    print!("{}", row::table(rows));
    if rows.iter().any(|row| row.noisy) {
        println!("{NOISY}");
    }
    Ok(())
}

/// Writes a result to `target/bench/<name>.json`.
fn write(name: &str, result: &impl Serialize) -> Result<()> {
    let folder = layout::root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(result)?;
    fs::write(&path, text + "\n").with_context(|| format!("can't write {}", path.display()))?;
    println!("written to target/bench/{name}.json");
    Ok(())
}

/// Measures pairs: ours, then the peer; the other way round every second time, so that neither
/// always profits from what the other left. Both are given a number that never comes again.
fn alternate(
    runs: u32,
    mut ours: impl FnMut(u32) -> Result<f64>,
    mut peer: impl FnMut(u32) -> Result<f64>,
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for run in 0..runs {
        let pair = if run.is_multiple_of(2) {
            let ours = best(run, &mut ours)?;
            Pair {
                ours,
                peer: best(run, &mut peer)?,
            }
        } else {
            let peer = best(run, &mut peer)?;
            Pair {
                ours: best(run, &mut ours)?,
                peer,
            }
        };
        println!(
            "  run {}: ours {:.1}, peer {:.1}",
            run + 1,
            pair.ours,
            pair.peer
        );
        pairs.push(pair);
    }
    Ok(pairs)
}

fn best(run: u32, measure: &mut impl FnMut(u32) -> Result<f64>) -> Result<f64> {
    let mut best = f64::NEG_INFINITY;
    for repeat in 0..REPEATS {
        best = best.max(measure(run * REPEATS + repeat)?);
    }
    Ok(best)
}
