use std::net::SocketAddr;
use std::path::PathBuf;

use chandler_crds::names::{SYSTEM_NAMESPACE, env, ports};
use chandler_gateway::accounts::{MAX_WEIGHT, Models};
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Make, list and revoke the API keys of a gateway in a cluster.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Tell why a model in a cluster has the replicas that it has.
    Explain(ExplainArgs),
    /// Print the CustomResourceDefinition, for `kubectl apply -f -`.
    Crd,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print it on stdout, once: the cluster keeps its hash alone.
    Create(CreateKeyArgs),
    /// List the keys by name, with what each allows.
    List(ListKeysArgs),
    /// Revoke a key: from now on it is refused. Requests under way go on.
    Revoke(RevokeKeyArgs),
}

/// Which cluster, and where in it.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Namespace of the gateway.
    #[arg(short = 'n', long, value_name = "NAMESPACE", default_value = SYSTEM_NAMESPACE)]
    pub(crate) namespace: String,

    /// Kubeconfig file. Default: that of KUBECONFIG, or the user's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Name of the ModelDeployment.
    pub(crate) model: String,

    /// Its namespace.
    #[arg(short = 'n', long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,

    /// Kubeconfig file. Default: that of KUBECONFIG, or the user's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// Name of the key and of its Secret; metrics and logs tell of it.
    pub(crate) name: String,

    /// Names of models as callers use them, by commas; `*` allows all.
    #[arg(long, value_name = "MODELS", default_value = "*")]
    pub(crate) models: Models,

    /// Most requests a minute. Default: no bound.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,

    /// Most tokens a minute, of prompts and answers. Default: no bound.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tokens_per_minute: Option<u32>,

    /// Most requests at one time. Default: no bound.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_concurrent: Option<u32>,

    /// Share of a model that is saturated, relative to other keys', from 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = weight())]
    pub(crate) weight: u32,

    /// Write nothing to the cluster: print the Secret on stdout, and the key on stderr.
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub(crate) output: Option<CreateOutput>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

fn weight() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MAX_WEIGHT))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CreateOutput {
    /// For `kubectl apply`, a repository of manifests, or `--keys-file`.
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeysArgs {
    /// How to print them.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: ListOutput,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListOutput {
    /// One key a line.
    Table,
    /// An array of objects.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeKeyArgs {
    /// The key's name.
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
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

    /// Want an API key of this file of Secrets, such as `chandler keys create NAME -o yaml` prints.
    /// Its edits are followed. Default: everyone may ask.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,

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
