//! `cargo xtask cuda`: the server for NVIDIA GPUs, checked and built where there is none.
//!
//! Only the server has such a build, and only candle has code for GPUs, so that checking ours needs none of its
//! kernels.

mod libraries;
mod stand_in;
mod toolkit;

use crate::shell::{cargo, run as execute, step};
use anyhow::Result;
use chandler_e2e::layout;
use clap::Subcommand;
use std::path::PathBuf;
use std::process;

/// All of this below the repository's root.
const FOLDER: &str = "target/cuda";
/// With it the workspace is built for GPUs.
const FEATURE: &str = "chandler-server/cuda";
/// What `cudarc` calls the toolkit's version.
const VERSION: &str = "13000";
/// The compute capability of GPUs where none is told: Hopper's.
pub(crate) const CAPABILITY: u32 = 90;
/// Tests of the server that compute with small models that they write themselves.
const TESTS: [&str; 1] = ["families"];

/// What `cargo xtask cuda` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch NVIDIA's compiler and headers, as packages of pip.
    Toolkit,
    /// Run clippy over the server with CUDA. It needs neither a toolkit nor a GPU.
    Check,
    /// Build the server with CUDA as it is shipped.
    Build {
        /// The compute capability of the GPUs that it is for, such as 80 (A100), 89 (L4, L40S) or 90 (H100).
        #[arg(long, default_value_t = CAPABILITY, value_parser = clap::value_parser!(u32).range(70..=121))]
        capability: u32,
    },
    /// Build the tests of decoders and encoders with CUDA as well, and run them on the first GPU.
    Test {
        /// The compute capability of the GPU.
        #[arg(long, default_value_t = CAPABILITY, value_parser = clap::value_parser!(u32).range(70..=121))]
        capability: u32,
        /// Only build them, to be run elsewhere.
        #[arg(long)]
        no_run: bool,
    },
}

/// Runs one of them.
///
/// # Errors
/// When a package can't be fetched, or something doesn't compile.
pub(crate) fn run(command: &Command) -> Result<()> {
    match *command {
        Command::Toolkit => {
            let toolkit = toolkit::ensure()?;
            println!("CUDA_HOME={}", toolkit.display());
            Ok(())
        }
        Command::Check => check(),
        Command::Build { capability } => {
            let server = build(capability)?;
            println!(
                "{} is for GPUs of compute capability {capability}; it starts only where NVIDIA's driver and \
                 libcublas, libcublasLt and libcurand of CUDA 13 are installed",
                server.display()
            );
            Ok(())
        }
        Command::Test { capability, no_run } => test(capability, no_run),
    }
}

fn folder() -> PathBuf {
    layout::root().join(FOLDER)
}

/// Checks ours and candle's code with the feature. Whatever has nothing to do with CUDA is taken from the usual
/// build.
///
/// # Errors
/// What clippy finds.
pub(crate) fn check() -> Result<()> {
    let nvcc = stand_in::write(&folder().join("stand-in"))?;
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        FEATURE,
        "--",
        "-D",
        "warnings",
    ];
    execute(
        cargo(&arguments)
            .env("NVCC", nvcc)
            .env("CUDARC_CUDA_VERSION", VERSION)
            .env("CUDA_COMPUTE_CAP", stand_in::CAPABILITY),
    )
}

/// Builds the server, and tells where it lies.
///
/// # Errors
/// When a package can't be fetched, or something doesn't compile.
pub(crate) fn build(capability: u32) -> Result<PathBuf> {
    let target = target();
    step("build", || execute(&mut optimised("build", capability)?))?;
    Ok(target.join("release/chandler-server"))
}

/// Builds the tests that compute, and runs them: where there is a GPU, that computes.
fn test(capability: u32, no_run: bool) -> Result<()> {
    let mut tests = optimised("test", capability)?;
    for name in TESTS {
        tests.args(["--test", name]);
    }
    if no_run {
        tests.arg("--no-run");
    }
    step("test", || execute(&mut tests))
}

fn target() -> PathBuf {
    folder().join("build")
}

/// A command of cargo on the server as it is shipped, with CUDA.
fn optimised(what: &str, capability: u32) -> Result<process::Command> {
    let mut toolkit = PathBuf::new();
    step("toolkit", || {
        toolkit = toolkit::ensure()?;
        libraries::write(&toolkit)
    })?;
    let arguments = ["--release", "-p", "chandler-server", "--features", "cuda"];
    let mut cargo = cargo(&[what]);
    toolkit::set(&mut cargo, &toolkit)?;
    cargo.args(arguments).arg("--target-dir").arg(target());
    cargo.env("CUDA_COMPUTE_CAP", capability.to_string());
    Ok(cargo)
}
