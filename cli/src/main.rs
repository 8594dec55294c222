//! `chandler`: models served on this machine, the API, keys and rollouts of those served in a
//! cluster, simulations of how they scale, and measurements of what a replica can do.

mod args;
mod bench;
mod cluster;
mod columns;
mod explain;
mod keys;
mod local;
mod manifest;
mod output;
mod rollout;
mod runner;
mod simulate;
mod up;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match args::Cli::parse().command {
        args::Command::Up(up) => up::run(&up),
        args::Command::Bench(bench) => bench::run(&bench),
        args::Command::Simulate(simulate) => simulate::run(&simulate),
        args::Command::Keys(keys) => keys::run(&keys),
        args::Command::Rollout(command) => rollout::run(&command),
        args::Command::Explain(explain) => explain::run(&explain),
        args::Command::Crd => crd(),
    }
}

fn crd() -> ExitCode {
    match chandler_crds::crd_yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
