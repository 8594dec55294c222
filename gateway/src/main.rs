//! `chandler-gateway`: see `chandler-gateway run --help`.

use std::process::ExitCode;

use chandler_gateway::cli::{Cli, Command};
use chandler_gateway::{check::check, cluster};
use clap::Parser;
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

/// The client of the API server warns on each failed try; the gateway itself tells once that the
/// server is lost, with the reason.
const DEFAULT_LOGS: &str = "info,kube_client=off,kube_runtime=off";

/// A request takes some thirty small pieces of memory, and this allocator takes a third of the
/// system's time for one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Requests have threads of their own.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    log_to_stderr();
    let failed = match command {
        Command::Run(args) => cluster::run(args)
            .await
            .map_err(|error| (error.reason(), error.to_string())),
        Command::Check(args) => check(&args)
            .await
            .map_err(|error| (error.reason(), error.to_string())),
    };
    let Err((reason, message)) = failed else {
        return ExitCode::SUCCESS;
    };
    tracing::error!(reason, "{message}");
    ExitCode::FAILURE
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOGS));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
}
