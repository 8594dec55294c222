//! `cargo xtask e2e`: a cluster, the images on it, Chandler installed by its chart, and every test
//! that needs one.

pub(crate) mod hub;
mod inside;
pub(crate) mod install;
mod rights;
mod stores;

use crate::cluster::{self, place};
use crate::shell::{build_workspace, command, run as execute, step};
use crate::{image, models, venv};
use anyhow::Result;
use chandler_e2e::layout;
use clap::Args;
use std::path::Path;
use std::process::Command;

/// Two, so that one can be drained.
const NODES: u8 = 2;
/// On each node. They are none, so models that ask for one compute on the CPU.
const GPUS: u32 = 1;

/// Which tests, and what becomes of the cluster.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Leave the cluster and the installation up, for a look or another run.
    #[arg(long)]
    keep: bool,
    /// Only the tests whose name has one of these in it.
    filters: Vec<String>,
}

/// Runs all of it.
///
/// # Errors
/// The failed step's, or that a test failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    step("models", || models::fetch(Path::new(models::FOLDER)))?;
    step("client", || {
        venv::ensure(layout::CLIENT_VENV, crate::ci::CLIENT_REQUIREMENTS).map(drop)
    })?;
    step("build", build_workspace)?;
    on_cluster(options)
}

/// The same for whoever has fetched the models, made the client's environment and built all.
///
/// # Errors
/// The failed step's, or that a test failed.
pub(crate) fn on_cluster(options: &Options) -> Result<()> {
    // Here, since in the cluster's network no module can be downloaded.
    step("stores", || chandler_e2e::stores::build().map(drop))?;
    with_cluster(options.keep, || within(options))
}

/// Does `work` on a cluster that is up and has the images; it goes afterwards, unless `keep`.
///
/// # Errors
/// The failed step's, or that of `work`.
pub(crate) fn with_cluster(keep: bool, work: impl FnOnce() -> Result<()>) -> Result<()> {
    step("images", || {
        image::run(&[], Path::new(image::FOLDER), false)
    })?;
    step("cluster", || {
        cluster::run(cluster::Command::Up {
            nodes: Some(NODES),
            gpus: Some(GPUS),
        })
    })?;
    let done = step("load images", || {
        let mut archives = image::archives();
        archives.extend(image::write_faulty()?);
        cluster::run(cluster::Command::LoadImage { archives })
    })
    .and_then(|()| work());
    if !keep {
        step("cluster down", || cluster::run(cluster::Command::Down))?;
    }
    done
}

/// This program in the cluster's network, still without its arguments.
///
/// # Errors
/// When it has not been built.
pub(crate) fn own_program_inside() -> Result<Command> {
    // The path of this very process may be of a program that a build has replaced since.
    let own = layout::binary("xtask")?;
    let mut inside = command(&own);
    inside.args(["cluster", "run", "--"]).arg(&own);
    inside.env("CHANDLER_XTASK", &own);
    Ok(inside)
}

/// Goes on in the cluster's network, as a process of its own.
fn within(options: &Options) -> Result<()> {
    let mut inside = own_program_inside()?;
    inside.arg("e2e-inside");
    if options.keep {
        inside.arg("--keep");
    }
    inside.args(&options.filters);
    execute(&mut inside)
}

/// What is run in the cluster's network; see [`run`].
///
/// # Errors
/// The failed step's, or that a test failed.
pub(crate) fn run_inside(options: &Options) -> Result<()> {
    let stores = stores::start(place::CONTROL_ADDRESS)?;
    let env = stores.server_env();
    step("install", || install::install(&env))?;
    inside::test(&options.filters, stores.registry())?;
    step("clearing", inside::wait_until_cleared)?;
    step("helm test", install::test)?;
    step("upgrade", || install::upgrade(&env))?;
    // A part of the tests uses a part of the rights.
    if options.filters.is_empty() {
        step("rights", rights::check)?;
    }
    if !options.keep {
        step("uninstall", install::uninstall)?;
    }
    Ok(())
}
