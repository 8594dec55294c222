use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chandler_crds::names::{SYSTEM_NAMESPACE, env, ports};
use chandler_gateway::accounts::{MAX_WEIGHT, Models};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use reqwest::Url;

use crate::bench::BenchArgs;
use crate::eval::{EvalArgs, JudgeArgs};
use crate::rollout::RolloutCommand;
use crate::simulate::PolicyName;

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
    /// Play a trace of requests against replicas as a model describes them, and tell what policies
    /// of scaling make of it.
    Simulate(SimulateArgs),
    /// Measure what a running replica can do, for `simulate`; replay a trace of requests.
    Bench(Box<BenchArgs>),
    /// Ask one revision or two the questions of a suite, and judge the answers.
    ///
    /// The exit status is 0 for pass, 2 for fail, 3 for inconclusive, and 1 where there is no verdict.
    Eval(Box<EvalArgs>),
    /// Judge a rollout's answers, as the operator and the local world do.
    #[command(hide = true)]
    Judge(Box<JudgeArgs>),
    /// Make, list and revoke the API keys of a gateway in a cluster.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// See and steer how a model in a cluster goes from one revision to another.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Tell what applying a manifest to a cluster would do, and change nothing.
    Plan(PlanArgs),
    /// Tell why a model in a cluster has the replicas that it has.
    Explain(ModelArgs),
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

/// Which cluster.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Kubeconfig file. Default: that of KUBECONFIG, or the user's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Which gateway's keys.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Namespace of the gateway.
    #[arg(short = 'n', long, value_name = "NAMESPACE", default_value = SYSTEM_NAMESPACE)]
    pub(crate) namespace: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// File of the manifests, as `kubectl apply -f` takes it.
    #[arg(short = 'f', long, value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,

    /// Namespace of what names none.
    #[arg(short = 'n', long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Which model of a cluster.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Name of the ModelDeployment.
    pub(crate) model: String,

    /// Its namespace.
    #[arg(short = 'n', long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
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
    pub(crate) gateway: GatewayArgs,
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
    pub(crate) gateway: GatewayArgs,
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
    pub(crate) gateway: GatewayArgs,
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

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Manifest of the ModelDeployment, whose replicas or autoscaling are simulated.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: PathBuf,

    /// Who decides, by commas: `chandler` as the manifest says, or, to compare, `kpa[=TARGET]`,
    /// `hpa[=TARGET]`, `keda[=TARGET]`, `kubeai[=TARGET]`, `fixed=COUNT`.
    #[arg(
        long = "policy",
        value_name = "POLICIES",
        value_delimiter = ',',
        default_value = "chandler"
    )]
    pub(crate) policies: Vec<PolicyName>,

    /// YAML of what a replica can do. Default: about an 8-billion-parameter model on a GPU of 24 GB.
    #[arg(long, value_name = "FILE")]
    pub(crate) replica_model: Option<PathBuf>,

    /// Ready replicas as it begins. Default: the fewest that the manifest allows.
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u32>,

    /// Times the trace's requests a second.
    #[arg(long, value_name = "X", default_value = "1", value_parser = factor)]
    pub(crate) scale: f64,

    /// Repeat the trace for so many days, with nights and weekends. Default: as long as it is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: Option<u32>,

    /// Seed of all chance: the same one gives the same numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Time from a replica's order until it is ready. Default: what the replica model says.
    #[arg(long, value_name = "TIME", value_parser = length)]
    pub(crate) start_delay: Option<Duration>,

    /// Longest time to the first token that is well.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = length)]
    pub(crate) slo: Duration,

    /// Write a page with charts there.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

pub(crate) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok();
    let factor = factor.filter(|factor: &f64| *factor > 0.0 && *factor <= 1000.0);
    factor.ok_or_else(|| "write a number above 0 and up to 1000, such as 2.5".to_owned())
}

pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let length = text.parse::<SignedDuration>().ok();
    let length = length.and_then(|length| Duration::try_from(length).ok());
    length.ok_or_else(|| "write a length of time, such as 90s, 1m30s or 250ms".to_owned())
}

pub(crate) fn address(text: &str) -> Result<Url, String> {
    let advice = "write the base address of a server, such as http://127.0.0.1:8000";
    let url: Url = text.parse().map_err(|error| format!("{error}; {advice}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(advice.to_owned()),
    }
}

pub(crate) fn some_length(text: &str) -> Result<Duration, String> {
    let length = length(text)?;
    if length < Duration::from_millis(100) || length > Duration::from_secs(86_400) {
        return Err("write a length from 100ms to 24h".to_owned());
    }
    Ok(length)
}
