//! The command line of `chandler-gateway`.

use std::net::{Ipv4Addr, SocketAddr};

use chandler_crds::names::ports;
use clap::{Args, Parser, Subcommand};

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
RUST_LOG filters them.

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
    /// How long to go on answering new requests after the signal to stop
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub shutdown_delay_seconds: u64,
    /// Longest wait for requests in flight after that
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub drain_seconds: u64,
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
        let args = parse(&["--watch-namespace", "team", "--listen", "[::]:80"]).unwrap();
        assert_eq!(args.watch_namespace.as_deref(), Some("team"));
        assert_eq!(args.listen.to_string(), "[::]:80");
        assert!(parse(&["--drain-seconds", "soon"]).is_err());
    }
}
