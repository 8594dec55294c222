//! Whether a server stays well under load: many clients with mixed lengths, long prompts beside short answers, and
//! an end in the middle.
//!
//! Clients and probes share the machine with the server.

mod client;
mod crowd;
mod end;
mod question;
mod stall;
mod vitals;

use super::{THREADS, row, write};
use crate::{models, shell};
use anyhow::{Context, Result};
use chandler_e2e::process::wait_until;
use chandler_e2e::{PATIENCE, Server, layout};
use clap::Args;
use crowd::Outcomes;
use serde::Serialize;
use stall::Stall;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use vitals::Vitals;

/// Seconds after which memory is to be flat, if there are so many.
const WARM_UP: u64 = 60;
const RUNNING: &str = "vllm:num_requests_running";

/// How long, and how many.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long the crowd asks.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Clients of the crowd.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Pairs of measurements without and with a long prompt.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
}

/// A number that is to be no greater than its bar.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    value: f64,
    bar: f64,
    unit: &'static str,
    holds: bool,
}

impl Check {
    fn new(name: &'static str, value: f64, bar: f64, unit: &'static str) -> Self {
        let holds = value <= bar;
        Self {
            name,
            value,
            bar,
            unit,
            holds,
        }
    }
}

/// All that is written down.
#[derive(Debug, Serialize)]
struct Report {
    clients: u32,
    minutes: u64,
    checks: Vec<Check>,
    outcomes: Outcomes,
    stalls: Vec<Stall>,
    /// MiB, each second.
    memory: Vec<f64>,
    /// How long `/livez` took at the median and at the longest, milliseconds.
    livez_p50: f64,
    livez_most: f64,
}

/// Measures, writes `target/bench/alive.json` and prints a table.
///
/// # Errors
/// When the server can't be started, or ends.
pub(super) fn run(options: &Options) -> Result<()> {
    models::fetch(Path::new(models::FOLDER))?;
    shell::build_workspace()?;
    let file = layout::model(layout::CHAT_MODEL)?;
    let server = Server::start(&layout::file_source(&file), question::NAME, THREADS)?;
    let address = address(&server)?;
    println!("{} clients for {} min", options.clients, options.minutes);
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let work = || crowd::ask(address, options.clients, end);
    let (outcomes, vitals) = vitals::during(address, server.pid(), work)?;
    wait_idle(&server)?;
    println!("streams without and with a long prompt");
    let stalls = stall::measure(address, options.repeats)?;
    println!("streams that run when the server is told to stop");
    let lost = end::measure(server, address)?;
    let report = report(options, outcomes, vitals, stalls, lost);
    write("alive", &report)?;
    print!("{}", table(&report));
    Ok(())
}

fn address(server: &Server) -> Result<SocketAddr> {
    let base = server.api().base();
    let address = base.strip_prefix("http://").unwrap_or(base);
    address
        .parse()
        .with_context(|| format!("no address: {base}"))
}

/// Waits until nobody is answered any more: all who asked have left.
fn wait_idle(server: &Server) -> Result<()> {
    wait_until("those that left to be dropped", PATIENCE, || {
        let metrics = server.api().get("/metrics").map(|reply| reply.text);
        metrics.is_ok_and(|text| {
            let mut lines = text.lines().filter(|line| line.starts_with(RUNNING));
            lines.any(|line| line.ends_with(" 0"))
        })
    })
}

#[allow(clippy::cast_precision_loss)]
fn report(
    options: &Options,
    outcomes: Outcomes,
    mut vitals: Vitals,
    stalls: Vec<Stall>,
    (lost, streams): (usize, u64),
) -> Report {
    vitals.probes.sort_unstable();
    let livez = |share| 1e3 * seconds_at(&vitals.probes, share);
    // Of a short run the second half counts.
    let warm_up = usize::try_from(WARM_UP.min(30 * options.minutes)).unwrap_or(usize::MAX);
    let deviation = vitals::deviation(&vitals.memory, warm_up);
    let ratios: Vec<f64> = stalls.iter().map(|it| it.beside / it.alone).collect();
    println!("{lost} of {streams} streams were lost at the end");
    Report {
        clients: options.clients,
        minutes: options.minutes,
        checks: vec![
            Check::new("errors", outcomes.errors as f64, 0.0, "answers"),
            Check::new("memory-deviation", 100.0 * deviation, 5.0, "%"),
            Check::new("livez-p99", livez(0.99), 10.0, "ms"),
            Check::new("long-prompt", row::middle(&ratios), 2.0, "x"),
            Check::new("lost-at-end", lost as f64, 0.0, "streams"),
        ],
        outcomes,
        stalls,
        livez_p50: livez(0.5),
        livez_most: livez(1.0),
        memory: vitals.memory,
    }
}

/// What a share of sorted times doesn't exceed, in seconds; of none, no number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn seconds_at(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share).ceil() as usize;
    sorted.get(index).map_or(f64::NAN, Duration::as_secs_f64)
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    for (kind, count) in &report.outcomes.counts {
        text += &format!("{count:>7}  {kind}\n");
    }
    for (kind, example) in &report.outcomes.examples {
        text += &format!("{kind}: {example}\n");
    }
    let ends = (report.memory.first(), report.memory.last());
    if let (Some(first), Some(last)) = ends {
        text += &format!("memory {first:.0} MiB at first, {last:.0} MiB at last\n");
    }
    let (half, most) = (report.livez_p50, report.livez_most);
    text += &format!("livez {half:.2} ms at the median, {most:.1} ms at the longest\n");
    text += &format!("{:<18} {:>9} {:>6} unit\n", "name", "value", "bar");
    for Check {
        name,
        value,
        bar,
        unit,
        holds,
    } in &report.checks
    {
        let failed = if *holds { "" } else { "  over its bar" };
        text += &format!("{name:<18} {value:>9.2} {bar:>6.1} {unit}{failed}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_does_not_hold() {
        assert!(Check::new("x", 2.0, 2.0, "x").holds);
        assert!(!Check::new("x", 2.1, 2.0, "x").holds);
        assert!(!Check::new("x", f64::NAN, 2.0, "x").holds);
    }

    #[test]
    fn shares_of_sorted_times() {
        let times: Vec<_> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(seconds_at(&times, 0.95), 96.0);
        assert_eq!(seconds_at(&times, 1.0), 100.0);
        assert!(seconds_at(&[], 0.5).is_nan());
    }
}
