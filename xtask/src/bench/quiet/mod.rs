//! What models at rest cost a cluster: requests by the API server's own counters, and memory.
//!
//! Two windows of the same length are measured, one with Chandler installed and no model, one with
//! all models at rest: what the second has more is what the models cause, Kubernetes' own share of
//! it included. The requests of Chandler's accounts are counted apart, so that it is told exactly
//! what Chandler asks.

mod accounts;
mod kubectl;
mod models;
mod processes;
mod report;
mod window;

use crate::e2e::{self, hub, install};
use crate::shell::{build_workspace, run as execute, step};
use crate::{cluster::place, models as fetched};
use anyhow::{Result, bail};
use clap::Args;
use models::Models;
use processes::Usage;
use report::Report;
use std::path::Path;
use std::time::Duration;
use window::Window;

/// How many models, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Models that are at rest, each with one replica that serves.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=190))]
    models: u16,
    /// Length of each of the two windows.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Leave the cluster up.
    #[arg(long)]
    keep: bool,
}

/// Brings a cluster up and measures on it.
///
/// # Errors
/// The failed step's, or that Chandler was not quiet.
pub(super) fn run(options: &Options) -> Result<()> {
    step("models", || fetched::fetch(Path::new(fetched::FOLDER)))?;
    step("build", build_workspace)?;
    e2e::with_cluster(options.keep, || {
        let mut inside = e2e::own_program_inside()?;
        inside.args(["bench", "quiet-inside"]);
        inside.args(["--models", &options.models.to_string()]);
        inside.args(["--seconds", &options.seconds.to_string()]);
        execute(&mut inside)
    })
}

/// What is run in the cluster's network; see [`run`].
///
/// # Errors
/// The failed step's, or that Chandler was not quiet.
pub(super) fn run_inside(options: &Options) -> Result<()> {
    let hub = hub::start(place::CONTROL_ADDRESS)?;
    step("install", || install::install(&[hub::server_env(&hub)]))?;
    models::require_none()?;
    accounts::count_apart()?;
    let measured = measure(options);
    accounts::count_together()?;
    let report = measured?;
    super::write("quiet", &report)?;
    print!("{}", report.shown());
    if !report.is_quiet() {
        bail!("Chandler is not quiet");
    }
    Ok(())
}

fn measure(options: &Options) -> Result<Report> {
    let length = Duration::from_secs(options.seconds);
    let empty = Window::measure("without models", length)?;
    let models = Models::apply(options.models)?;
    let serving = models.serving()?;
    let before = Usage::of_all()?;
    let at_rest = Window::measure("with models at rest", length)?;
    let processes = Usage::of_all()?.since(&before);
    models.remove()?;
    Ok(Report {
        models: options.models,
        serving,
        started_in_seconds: models.started_in.as_secs(),
        window_seconds: options.seconds,
        empty,
        at_rest,
        processes: processes?,
    })
}
