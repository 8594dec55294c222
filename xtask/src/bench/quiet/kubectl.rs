//! The cluster's administrator, in whose credentials this runs.

use crate::shell::{capture, command, run as execute};
use anyhow::{Context, Result};
use chandler_e2e::layout;
use std::fs;

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
    let path = layout::root().join("target/bench/quiet.yaml");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, manifest).with_context(|| format!("can't write {}", path.display()))?;
    let path = path.display().to_string();
    ask(&[arguments, &["--filename", &path]].concat()).map(drop)
}
