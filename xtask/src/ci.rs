//! `cargo xtask ci`: every check and test, cheapest first, then those on a cluster, and cargo's own
//! tests last.

use crate::shell::{build_workspace, cargo, run as execute, step};
use crate::{charts, cluster, codegen, cuda, e2e, fuzz, models, npm, tidy, venv};
use anyhow::Result;
use chandler_e2e::layout;
use std::path::Path;

/// What the official client's environment is made from.
pub(crate) const CLIENT_REQUIREMENTS: &str = "e2e/client/requirements.txt";
/// What the environment is made from that checks OpenAPI documents.
const OPENAPI_REQUIREMENTS: &str = "e2e/openapi/requirements.txt";

/// Runs all; the first failure ends it.
///
/// # Errors
/// The failed step's.
pub(crate) fn run() -> Result<()> {
    step("models", || models::fetch(Path::new(models::FOLDER)))?;
    step("clients", || {
        let python = venv::ensure(layout::CLIENT_VENV, CLIENT_REQUIREMENTS)?;
        venv::ensure(layout::OPENAPI_VENV, OPENAPI_REQUIREMENTS)?;
        npm::ensure(&python)
    })?;
    step("fmt", || execute(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    step("build", build_workspace)?;
    step("codegen", || codegen::run(true))?;
    step("clippy", || {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        execute(&mut cargo(&arguments))
    })?;
    // After the plain one, which has checked all that is the same.
    step("clippy with CUDA", cuda::check)?;
    step("fuzz", || fuzz::run(&fuzz::Options::default()))?;
    step("cluster's programs", || {
        cluster::run(cluster::Command::Build)
    })?;
    step("charts", charts::run)?;
    e2e::on_cluster(&e2e::Options::default())?;
    test()
}

/// Ends this process with cargo's own status, so that cargo's last lines stay the last.
fn test() -> Result<()> {
    println!("==> test");
    let status = cargo(&["test", "--workspace", "--no-fail-fast"]).status()?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}
