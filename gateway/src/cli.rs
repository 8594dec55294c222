//! The command line of `chandler-gateway`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use chandler_crds::names::{env, ports};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Leads requests to the models of a Kubernetes cluster: one address that speaks the OpenAI API.
#[derive(Debug, Parser)]
#[command(name = "chandler-gateway", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the cluster's models and answer requests until told to stop.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Wait until an address answers with a status of 2xx; exit code 1 if it does not.
    Check(CheckArgs),
}

const RUN_HELP: &str = "\
A request's \"model\" is a served name, or NAMESPACE/SERVED-NAME. Where several models have one
served name, the oldest has it, and each of the others has the longer name alone.

The cluster is the one that the pod runs in, or that of the current context of KUBECONFIG. While
its API server is away, requests go where they went last. Logs are JSON lines on standard error;
RUST_LOG filters them. The access log, a JSON line a request, is on standard output; it is the
target \"access\" of RUST_LOG.

On SIGTERM or SIGINT the gateway stops being ready, answers for --shutdown-delay-seconds whoever
still comes, then takes no new connection and finishes requests in flight, for --drain-seconds at
most. The same signal again ends them at once. Give a pod both times and a few seconds more as
its terminationGracePeriodSeconds.";

/// Where to listen, what to follow, how to end.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Address for callers; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value_t = any(ports::GATEWAY))]
    pub listen: SocketAddr,
    /// Address for health and metrics; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value_t = any(ports::ADMIN))]
    pub admin_listen: SocketAddr,
    /// Follow the models of this namespace alone [default: of all]
    #[arg(long, value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Follow the API keys of this namespace: its Secrets labelled chandler.dev/api-key=true. With
    /// neither this nor a file everyone may ask
    #[arg(long, value_name = "NAMESPACE", env = env::POD_NAMESPACE)]
    pub keys_namespace: Option<String>,
    /// Take API keys from this file of Secrets instead, and follow its changes
    #[arg(long, value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
    /// How long to go on answering new requests after the signal to stop
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub shutdown_delay_seconds: u64,
    /// Longest wait for requests in flight after that
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub drain_seconds: u64,
    /// Certificate for callers, PEM, with those that lead to its authority; a change is seen
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Most connections of callers at one time
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Threads that answer requests [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Whether an embedding that takes long is asked of a second replica as well
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub hedge: Switch,
    /// Whether each request is told of
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub access_log: Switch,
    /// Collector that takes traces as OTLP over plain HTTP, such as http://otel-collector:4318
    #[arg(long, value_name = "URL", env = env::OTLP_ENDPOINT)]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces beginning here that are sent, 0 to 1; of others the caller decides
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub otlp_share: f64,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What to ask, and for how long.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Address to ask, such as http://gateway:8080/v1/models
    pub url: http::Uri,
    /// How long to go on asking
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub timeout_seconds: u64,
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    fn parse(extra: &[&str]) -> Result<RunArgs, clap::Error> {
        let cli = Cli::try_parse_from(["chandler-gateway", "run"].iter().chain(extra))?;
        match cli.command {
            Command::Run(args) => Ok(args),
            Command::Check(_) => unreachable!("`run` was given"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_and_values() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(args.admin_listen.to_string(), "0.0.0.0:8081");
        assert_eq!((args.shutdown_delay_seconds, args.drain_seconds), (5, 30));
        assert_eq!(args.watch_namespace, None);
        assert_eq!((args.hedge, args.access_log), (Switch::On, Switch::On));
        assert_eq!(parse(&["--hedge", "off"]).unwrap().hedge, Switch::Off);
        let args = parse(&["--watch-namespace", "team", "--listen", "[::]:80"]).unwrap();
        assert_eq!(args.watch_namespace.as_deref(), Some("team"));
        assert_eq!(args.listen.to_string(), "[::]:80");
        assert!(parse(&["--drain-seconds", "soon"]).is_err());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let args = parse(&["--tls-cert", "a.crt", "--tls-key", "a.key"]).unwrap();
        assert_eq!(args.tls_cert, Some("a.crt".into()));
        assert!(parse(&["--tls-cert", "a.crt"]).is_err());
        assert!(parse(&["--tls-key", "a.key"]).is_err());
    }
}
