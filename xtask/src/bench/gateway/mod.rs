//! The gateway beside HAProxy and nginx: the same replicas, the same requests, the same number of
//! threads, in turn.
//!
//! The generator, the proxy and the replicas share the machine. All three proxies bear that alike,
//! and the generator and the replicas ask as little of it as they can. The gateway runs as its own
//! program and follows an API server of the benchmark's own.

mod api_server;
mod caller;
mod callers;
mod checks;
mod compare;
mod crowd;
mod fair;
mod key;
mod load;
mod message;
mod objects;
mod proxies;
mod question;
mod reactor;
mod replicas;
mod rolling;
mod streams;
mod upstream;

use super::THREADS;
use super::row::{self, Row};
use crate::{debian, shell};
use anyhow::{Context, Result, bail};
use api_server::ApiServer;
use checks::Check;
use clap::{Args, ValueEnum};
use compare::Contest;
use proxies::Proxy;
use replicas::Replicas;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Replicas behind each proxy.
const REPLICAS: usize = 4;
/// What is measured.
const PROGRAM: &str = "chandler-gateway";
/// What Debian brings.
const PACKAGES: &[debian::Needed] = &[("haproxy", "haproxy"), ("nginx", "nginx-light")];
/// There where systemd is what started everything.
const SYSTEMD: &str = "/run/systemd/system";

/// How often and how long, and what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every proxy is measured once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Length of one measurement, of which the best of three counts.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How long each of the many streams is.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    stream_seconds: u64,
    /// How long each of the three measurements with keys takes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    fair_seconds: u64,
    /// Measure these parts alone [default: all]
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure this program [default: build it by the release profile]
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Throughput and latency beside HAProxy and nginx
    Compare,
    /// Many slow streams at once
    Streams,
    /// Replicas replaced while requests come
    Rolling,
    /// Keys that want more of a model than it has
    Fair,
}

impl Options {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[derive(Debug, Default, Serialize)]
struct Report {
    rows: Vec<Row>,
    checks: Vec<Check>,
}

/// Measures, and tells what came of it.
///
/// # Errors
/// When a proxy can't be had or fails a request, or a check is missed.
pub(super) fn run(options: &Options) -> Result<()> {
    install_peers()?;
    let program = program(options.gateway.as_deref())?;
    streams::allow_files()?;
    let report = measure(&program, options)?;
    super::write("gateway", &report)?;
    if !report.rows.is_empty() {
        print!("{}", row::table(&report.rows));
    }
    if report.rows.iter().any(|row| row.noisy) {
        println!("{}", super::NOISY);
    }
    if !report.checks.is_empty() {
        print!("\n{}", checks::table(&report.checks));
    }
    let missed = report.checks.iter().filter(|check| !check.is_met());
    match missed.count() {
        0 => Ok(()),
        count => bail!("{count} checks are missed; see above"),
    }
}

/// The replicas' process; see [`replicas::Replicas`].
///
/// # Errors
/// When an address can't be had.
pub(super) fn run_upstream() -> Result<()> {
    upstream::run()
}

fn install_peers() -> Result<()> {
    let missing = debian::missing(PACKAGES);
    if !missing.is_empty() && Path::new(SYSTEMD).exists() {
        bail!(
            "{} are missing. Debian would start them as services too, so install them by hand: \
             `apt-get install --no-install-recommends {}`",
            missing.join(", "),
            missing.join(" ")
        );
    }
    debian::install(PACKAGES)
}

fn program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return path
            .canonicalize()
            .with_context(|| format!("there is no {}", path.display()));
    }
    shell::build_release(PROGRAM)
}

/// Each part has a gateway of its own, so that none profits or suffers from what another left. Keys
/// have a model of their own as well.
fn measure(program: &Path, options: &Options) -> Result<Report> {
    let mut replicas = Replicas::new()?;
    let all = replicas.start(REPLICAS)?;
    let direct: Vec<_> = all.iter().map(|replica| replica.addr).collect();
    let api = ApiServer::start()?;
    let mut report = Report::default();
    if options.measures(Part::Compare) {
        let contest = Contest {
            direct: direct.clone(),
            gateway: Proxy::gateway(program, &api, &all)?,
            peers: vec![Proxy::haproxy(&all)?, Proxy::nginx(&all)?],
        };
        report.rows = contest.run(options.runs, Duration::from_secs(options.seconds))?;
    }
    if options.measures(Part::Streams) {
        let gateway = Proxy::gateway(program, &api, &all)?;
        let length = Duration::from_secs(options.stream_seconds);
        report.checks = streams::measure(&direct, &gateway, length)?;
    }
    if options.measures(Part::Rolling) {
        let gateway = Proxy::gateway(program, &api, &all)?;
        let check = rolling::measure(&api, &mut replicas, all, &gateway)?;
        report.checks.push(check);
    }
    if options.measures(Part::Fair) {
        let length = Duration::from_secs(options.fair_seconds);
        let checks = fair::measure(program, replicas.start_one()?, length)?;
        report.checks.extend(checks);
    }
    Ok(report)
}
