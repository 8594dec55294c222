//! Programs that a user would run.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use chandler_e2e::layout;

use crate::SYSTEM;

/// The one that runs the tests, for faults of the cluster.
const XTASK: &str = "CHANDLER_XTASK";

/// Runs kubectl; gives what it printed.
///
/// # Errors
/// It failed.
pub fn kubectl(arguments: &[&str]) -> Result<String> {
    run(Command::new("kubectl").args(arguments))
}

/// Runs helm on the installation; gives what it printed.
///
/// # Errors
/// It failed.
pub fn helm(arguments: &[&str]) -> Result<String> {
    run(Command::new("helm")
        .args(["--namespace", SYSTEM])
        .args(arguments))
}

/// Runs `chandler`, which finds the cluster as kubectl does; gives what it printed.
///
/// # Errors
/// It failed.
pub fn chandler(arguments: &[&str]) -> Result<String> {
    run(Command::new(layout::binary("chandler")?).args(arguments))
}

/// Runs `cargo xtask` with these arguments; gives what it printed.
///
/// # Errors
/// It failed.
pub fn xtask(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os(XTASK)
        .with_context(|| format!("{XTASK} is not set: run the tests by `cargo xtask e2e`"))?;
    run(Command::new(program).args(arguments))
}

fn run(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("can't run {command:?}"))?;
    let told = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        bail!(
            "{command:?} ended with {status}: {told}{}",
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(told)
}
