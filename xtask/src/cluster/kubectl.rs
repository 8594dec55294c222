//! Asking the API server.

use super::{build, network, place};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The administrator's kubectl, in the control plane's network.
///
/// # Errors
/// When it hasn't been built.
pub(crate) fn command(arguments: &[&str]) -> Result<Command> {
    with(&place::kubeconfig(), arguments)
}

fn with(credentials: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = network::nsenter(&place::control_network(), build::program("kubectl")?);
    command.arg("--kubeconfig").arg(credentials).args(arguments);
    Ok(command)
}

/// What kubectl answers.
///
/// # Errors
/// When it fails: with its own words.
pub(crate) fn ask(arguments: &[&str]) -> Result<String> {
    answer(&mut command(arguments)?, "")
}

/// Applies objects as the user that no rule of the cluster binds: it makes the rules.
///
/// # Errors
/// When the API server refuses.
pub(crate) fn apply_as_founder(manifest: &str) -> Result<()> {
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--filename=-",
    ];
    let mut command = with(&place::credentials("super-admin"), &arguments)?;
    answer(&mut command, manifest).map(drop)
}

/// Runs a command with `input` and gives its output, or its complaint as the error.
pub(crate) fn answer(command: &mut Command, input: &str) -> Result<String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("can't start kubectl")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
