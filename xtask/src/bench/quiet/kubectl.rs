//! The cluster's administrator, in whose credentials this runs.

use crate::cluster::kubectl::answer;
use crate::shell::{capture, command, run as execute};
use anyhow::Result;

/// What kubectl answers.
///
/// # Errors
/// When it fails.
pub(super) fn ask(arguments: &[&str]) -> Result<String> {
    capture(command("kubectl").args(arguments))
}

/// Runs kubectl, its output shown.
///
/// # Errors
/// When it fails.
pub(super) fn run(arguments: &[&str]) -> Result<()> {
    execute(command("kubectl").args(arguments))
}

/// Applies these objects, or deletes them.
///
/// # Errors
/// When the API server refuses.
pub(super) fn send(arguments: &[&str], manifest: &str) -> Result<()> {
    let mut command = command("kubectl");
    answer(command.args(arguments).arg("--filename=-"), manifest).map(drop)
}
