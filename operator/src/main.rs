//! `chandler-operator`: see `chandler-operator run --help`.

use std::process::ExitCode;

use chandler_operator::cli::{Cli, Command};
use chandler_operator::run::run;
use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise.
const LOGGED: &str = "info,kube=warn,kube_client=warn,kube_runtime=warn,hyper=warn,tower=warn";
/// The operator waits for others nearly always, and each thread costs memory.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    log_to_stderr();
    // More than one provider may be linked in; without a choice the first TLS connection panics.
    // An error would mean that the choice has been made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .json()
        .with_current_span(false)
        .with_span_list(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
}
