//! `cargo xtask cluster`: a real Kubernetes on this machine, for the tests.
//!
//! Everything runs in network namespaces of its own, each node in namespaces of processes and
//! mounts too, so the machine's own network and folders stay as they are. What a cluster consists
//! of lies in `target/cluster/run` and goes with it; programs, images and logs beside it stay.

pub(crate) mod build;
mod cgroup;
mod clear;
mod control;
mod fault;
mod host;
mod inside;
pub(crate) mod kubectl;
mod load;
mod network;
mod node;
mod owner;
mod pki;
pub(crate) mod place;
mod process;
mod status;
mod template;
mod up;
pub(crate) mod wait;

use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the cluster's programs, where they changed, and start nothing.
    Build,
    /// Bring a cluster up, or change the one that is up; returns when it is ready.
    Up {
        /// How many nodes; left out: as many as there are, or one.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(place::MOST_NODES)))]
        nodes: Option<u8>,
        /// How many `nvidia.com/gpu` each node offers, without having them.
        #[arg(long)]
        gpus: Option<u32>,
    },
    /// Stop the cluster and remove all of it.
    Down,
    /// Tell what runs.
    Status,
    /// Load OCI archives of images into every node.
    LoadImage {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Print where the administrator's credentials are. They are for use inside: see `run`.
    Kubeconfig,
    /// Run a command where nodes, pods and Services can be reached, with kubectl and helm at hand.
    Run {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Break something on purpose, or mend it again.
    #[command(subcommand)]
    Fault(fault::Fault),
}

/// Does it.
///
/// # Errors
/// With what went wrong.
pub(crate) fn run(command: Command) -> Result<()> {
    let changes_machine = !matches!(command, Command::Build | Command::Run { .. });
    if changes_machine {
        inside::leave()?;
    }
    match command {
        Command::Build => build::all(),
        Command::Up { nodes, gpus } => up::run(nodes, gpus),
        Command::Down => clear::down(),
        Command::Status => status::run(),
        Command::LoadImage { archives } => load::run(&archives),
        Command::Kubeconfig => {
            owner::require()?;
            println!("{}", place::kubeconfig().display());
            Ok(())
        }
        Command::Run { command } => inside::run(&command),
        Command::Fault(fault) => fault::run(fault),
    }
}
