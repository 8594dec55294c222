//! `chandler-server`: see `chandler-server serve --help`.

use std::process::ExitCode;

use chandler_server::cli::{Cli, Command};
use chandler_server::delivery;
use chandler_server::node_cache;
use chandler_server::serve::serve;
use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    log_to_stderr();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve(args).await,
            Command::Fetch(args) => delivery::fetch(&args).await,
            Command::Resolve(args) => delivery::resolve(&args).await,
            Command::PrepareCache(args) => node_cache::prepare(&args),
            Command::HoldCache(args) => node_cache::hold(&args).await,
        }
    });
    // A load or a computation that still runs has nobody left to wait for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
}
