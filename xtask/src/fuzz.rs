//! `cargo xtask fuzz`: random requests and streams for the gateway's parsers.
//!
//! The targets are those of `cargo fuzz`. Here they are built by cargo alone, with what the stable
//! compiler has for coverage, so that nothing need be installed. What was found worth keeping, and
//! what went wrong, stays below `target/fuzz`.

use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use chandler_e2e::process::Process;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is made, below the repository's root.
const FOLDER: &str = "target/fuzz";
/// The compiler with coverage, for the workspace's own crates.
const COVERED: &str = "fuzz/covered.sh";
/// Without it the targets are not built.
const FEATURE: &str = "chandler-fuzz/fuzzing";
/// An input that takes longer is a fault, seconds.
const LONGEST_INPUT: u64 = 10;
/// The most that a target may occupy, MiB.
const MEMORY: u64 = 1024;

/// What to try, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long; all targets run at the same time.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Which; none means all.
    pub(crate) targets: Vec<Target>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 60,
            targets: Vec::new(),
        }
    }
}

/// A program that is given random input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Requests, as callers send them
    Request,
    /// Streams of events, as replicas send them
    Events,
    /// Connections, as callers and replicas write to them
    Http,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Events => "events",
            Self::Http => "http",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Request => "fuzz-request",
            Self::Events => "fuzz-events",
            Self::Http => "fuzz-http",
        }
    }
}

/// Builds the targets and runs them.
///
/// # Errors
/// When one can't be built, or an input was found that it fails on.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut programs = build()?;
    if !options.targets.is_empty() {
        programs.retain(|(target, _)| options.targets.contains(target));
    }
    let mut started = Vec::new();
    for (target, program) in programs {
        let process = start(target, &program, options.seconds)?;
        started.push((target, program, process));
    }
    let mut failed = 0;
    for (target, program, mut process) in started {
        let status = process.join()?;
        let text = process.output().text();
        if status.success() {
            println!("  {}: {}", target.name(), summary(&text));
        } else {
            failed += 1;
            println!("{text}  {} ended with {status}", target.name());
            println!("  to run an input again: {} FILE", program.display());
        }
    }
    match failed {
        0 => Ok(()),
        count => bail!("{count} fuzz targets failed; see above"),
    }
}

/// Builds all targets, and tells where they are. Cargo keeps what a wrapped compiler makes apart, so
/// that this and other builds don't undo each other; and dependencies are those of any build of the
/// whole workspace.
fn build() -> Result<Vec<(Target, PathBuf)>> {
    let all = Target::value_variants();
    let mut cargo = shell::cargo(&["build", "--workspace", "--features", FEATURE]);
    cargo.arg("--message-format=json-render-diagnostics");
    for target in all {
        cargo.args(["--bin", target.program()]);
    }
    cargo.env("RUSTC_WORKSPACE_WRAPPER", layout::root().join(COVERED));
    let told = shell::capture(&mut cargo)?;
    let programs = all.iter().map(|target| {
        let path = executable(&told, target.program());
        Ok((
            *target,
            path.with_context(|| format!("{} was not built", target.program()))?,
        ))
    });
    programs.collect()
}

/// The path of a program in what cargo tells of a build.
fn executable(told: &str, program: &str) -> Option<PathBuf> {
    let messages = told
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_program = messages.filter(|message| message["target"]["name"] == program);
    of_program.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

fn start(target: Target, program: &Path, seconds: u64) -> Result<Process> {
    let name = target.name();
    let folder = layout::root().join(FOLDER);
    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    println!("  {name}: {seconds} s");
    let mut command = Command::new(program);
    // What is new goes to the first folder.
    command.arg(&corpus);
    command.arg(layout::root().join("fuzz/seeds").join(name));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={LONGEST_INPUT}"));
    command.arg(format!("-rss_limit_mb={MEMORY}"));
    command.arg("-print_final_stats=1");
    Process::start(&mut command)
}

/// What the fuzzer tells at its end, in one line.
fn summary(text: &str) -> String {
    let stat = |name: &str| {
        let line = text.lines().rev().find(|line| line.contains(name))?;
        line.split_whitespace().last().map(str::to_owned)
    };
    let inputs = stat("stat::number_of_executed_units:");
    let new = stat("stat::new_units_added:");
    format!(
        "{} inputs, {} of them kept as new",
        inputs.as_deref().unwrap_or("?"),
        new.as_deref().unwrap_or("?")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_where_cargo_says() {
        let told = "{\"target\":{\"name\":\"fuzz-request\"},\"executable\":null}\nnoise\n\
                    {\"target\":{\"name\":\"fuzz-request\"},\"executable\":\"/x/fuzz-request\"}\n";
        assert_eq!(
            executable(told, "fuzz-request"),
            Some("/x/fuzz-request".into())
        );
        assert_eq!(executable(told, "fuzz-events"), None);
    }

    #[test]
    fn the_summary_is_of_the_final_statistics() {
        let text = "err| #2 INITED cov: 8\nerr| stat::number_of_executed_units: 12345\n\
                    err| stat::new_units_added:          67\n";
        assert_eq!(summary(text), "12345 inputs, 67 of them kept as new");
        assert_eq!(summary(""), "? inputs, ? of them kept as new");
    }
}
