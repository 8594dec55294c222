use std::net::SocketAddr;
use std::path::PathBuf;

use chandler_crds::names::{env, ports};
use clap::{Args, Parser, Subcommand};

/// Serve models: on this machine with `up`, in a cluster with the operator.
#[derive(Debug, Parser)]
#[command(name = "chandler", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve ModelDeployments on this machine, behind one address, until Ctrl-C.
    Up(UpArgs),
    /// Print the CustomResourceDefinition, for `kubectl apply -f -`.
    Crd,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Models to serve with all defaults, such as `hf://org/name` or `file:///path/model.gguf`.
    #[arg(value_name = "SOURCE", required_unless_present = "files")]
    pub(crate) sources: Vec<String>,

    /// Manifests of ModelDeployments. Edits are followed while this runs.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Address of the gateway; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], ports::GATEWAY)))]
    pub(crate) listen: SocketAddr,

    /// One JSON event a line on stdout, instead of text.
    #[arg(long)]
    pub(crate) json: bool,

    /// The server program. Default: `chandler-server` beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,

    /// Folder of downloaded models. Default: the user's cache folder.
    #[arg(long, value_name = "DIR", env = env::CACHE)]
    pub(crate) cache: Option<PathBuf>,
}
