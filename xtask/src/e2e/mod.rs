//! `cargo xtask e2e`: a cluster, the images on it, Chandler installed by its chart, and every test
//! that needs one.

mod hub;
mod inside;
mod install;

use crate::cluster::{self, place};
use crate::shell::{build_workspace, command, run as execute, step};
use crate::{image, models, venv};
use anyhow::Result;
use chandler_e2e::layout;
use clap::Args;
use std::path::Path;

/// Two, so that one can be drained.
const NODES: u8 = 2;

/// Which tests, and what becomes of the cluster.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Leave the cluster and the installation up, for a look or another run.
    #[arg(long)]
    keep: bool,
    /// Run the tests of faults as well, which take longer and leave a broken cluster when they are
    /// interrupted; `cluster up` mends it.
    #[arg(long)]
    faults: bool,
    /// Only the tests whose name has this in it.
    filter: Option<String>,
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
    step("images", || {
        image::run(&[], Path::new(image::FOLDER), false)
    })?;
    step("cluster", || {
        cluster::run(cluster::Command::Up {
            nodes: Some(NODES),
            gpus: None,
        })
    })?;
    let tested = step("load images", || {
        cluster::run(cluster::Command::LoadImage {
            archives: image::archives(),
        })
    })
    .and_then(|()| within(options));
    if !options.keep {
        step("cluster down", || cluster::run(cluster::Command::Down))?;
    }
    tested
}

/// Goes on in the cluster's network, as a process of its own.
fn within(options: &Options) -> Result<()> {
    // The path of this very process may be of a program that a build has replaced since.
    let own = layout::binary("xtask")?;
    let mut inside = command(&own);
    inside
        .args(["cluster", "run", "--"])
        .arg(&own)
        .arg("e2e-inside");
    inside.env("CHANDLER_XTASK", &own);
    if options.keep {
        inside.arg("--keep");
    }
    if options.faults {
        inside.arg("--faults");
    }
    inside.args(options.filter.as_deref());
    execute(&mut inside)
}

/// What is run in the cluster's network; see [`run`].
///
/// # Errors
/// The failed step's, or that a test failed.
pub(crate) fn run_inside(options: &Options) -> Result<()> {
    let hub = hub::start(place::CONTROL_ADDRESS)?;
    step("install", || install::install(&hub.endpoint()))?;
    inside::test(options.faults, options.filter.as_deref())?;
    step("helm test", install::test)?;
    step("upgrade", || install::upgrade(&hub.endpoint()))?;
    if !options.keep {
        step("uninstall", install::uninstall)?;
    }
    Ok(())
}
