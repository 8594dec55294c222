//! `cargo xtask`: what a developer runs beside cargo itself.

mod bench;
mod charts;
mod ci;
mod cluster;
mod codegen;
mod cuda;
mod debian;
mod demo;
mod e2e;
mod fuzz;
mod image;
mod models;
mod npm;
mod shell;
mod tidy;
mod venv;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chandler's development commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch the demo models and check them by hash.
    Models {
        /// Where they go.
        #[arg(long, default_value = models::FOLDER)]
        dir: PathBuf,
    },
    /// Write the generated files.
    Codegen {
        /// Compare with what is committed, and write nothing.
        #[arg(long)]
        check: bool,
    },
    /// Check the rules that compilers don't.
    Tidy,
    /// Run every check and test.
    Ci,
    /// Serve the demo models, ask them a question, and leave them running.
    Demo {
        /// Stop after the answers.
        #[arg(long)]
        once: bool,
        /// Where the gateway listens.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: String,
    },
    /// Run a real Kubernetes on this machine, for the tests.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Write the images of Chandler's programs as OCI archives.
    Image {
        /// Which programs; none means all.
        programs: Vec<image::Program>,
        /// Where the archives go.
        #[arg(long, default_value = image::FOLDER)]
        out: PathBuf,
        /// Take the programs as they were last built.
        #[arg(long)]
        no_build: bool,
    },
    /// Render the chart and the kustomizations, and check and compare them.
    Charts,
    /// Bring a cluster up, install Chandler on it, and run every test that needs one.
    E2e(e2e::Options),
    /// What `e2e` runs in the cluster's network.
    #[command(hide = true)]
    E2eInside(e2e::Options),
    /// Give the gateway's parsers random input.
    Fuzz(fuzz::Options),
    /// Check and build the server for NVIDIA GPUs.
    #[command(subcommand)]
    Cuda(cuda::Command),
    /// Measure Chandler.
    #[command(subcommand)]
    Bench(bench::Command),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Models { dir } => models::fetch(&dir),
        Command::Codegen { check } => codegen::run(check),
        Command::Tidy => tidy::run(),
        Command::Ci => ci::run(),
        Command::Demo { once, listen } => demo::run(&listen, once),
        Command::Cluster(command) => cluster::run(command),
        Command::Image {
            programs,
            out,
            no_build,
        } => image::run(&programs, &out, !no_build),
        Command::Charts => charts::run(),
        Command::E2e(options) => e2e::run(&options),
        Command::E2eInside(options) => e2e::run_inside(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Cuda(command) => cuda::run(&command),
        Command::Bench(command) => bench::run(&command),
    }
}
