//! Running other programs.

use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A command in the repository's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(layout::root());
    command
}

/// Cargo, as the one that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(program);
    for (name, _) in std::env::vars_os() {
        if of_own_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Whether cargo set a variable to tell this program of its own package. Build scripts watch some of
/// them (ring's does), so handing them on would build again what a plain `cargo` has built.
fn of_own_package(variable: &str) -> bool {
    let prefixes = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ];
    prefixes.iter().any(|prefix| variable.starts_with(prefix))
        || variable == "CARGO_PRIMARY_PACKAGE"
}

/// Builds every binary. Always the whole workspace: for a part of it, cargo would unify
/// features differently and build the dependencies a second time.
pub(crate) fn build_workspace() -> Result<()> {
    run(&mut cargo(&["build", "--workspace"]))
}

/// Builds one program as it is shipped, and tells where it lies.
///
/// # Errors
/// When it can't be built.
pub(crate) fn build_release(package: &str) -> Result<PathBuf> {
    let told = "--message-format=json-render-diagnostics";
    let told = capture(&mut cargo(&["build", "--release", "-p", package, told]))?;
    built(&told, package).with_context(|| format!("cargo built no program {package}"))
}

/// The program of that name that cargo tells of in lines of JSON.
fn built(told: &str, name: &str) -> Option<PathBuf> {
    let lines = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut programs = lines.filter(|line: &Value| line["target"]["name"] == name);
    let program = programs.find_map(|line| Some(line["executable"].as_str()?.to_owned()));
    program.map(PathBuf::from)
}

/// Runs a command to its end, its output shown as it comes.
///
/// # Errors
/// When it can't be started or ends with a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("can't run {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote on standard output.
///
/// # Errors
/// When it can't be started or ends with a failure.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    command.stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("can't run {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no text", shown(command)))
}

/// Whether a command runs and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs one step under a heading and tells its wall time.
///
/// # Errors
/// The step's own, named.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => println!("    {name}: {seconds:.1} s"),
        Err(error) => return Err(error.context(format!("{name} failed after {seconds:.1} s"))),
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_where_cargo_says_that_it_built_it() {
        let told = [
            r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"one"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"one"},"executable":"/t/release/one"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ]
        .join("\n");
        assert_eq!(built(&told, "one"), Some("/t/release/one".into()));
        assert_eq!(built(&told, "two"), None);
    }
}
