//! The command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use chandler_crds::names::{LEASE, env, mounts, ports};
use clap::{Args, Parser, Subcommand};

use crate::failpoint::Failpoint;
use crate::render::Site;
use crate::scrape::MetricsFrom;

/// Variables of replicas that the operator sets by itself.
const OWN_VARIABLES: [&str; 4] = [env::CACHE, env::LOCK, env::CREDENTIALS, env::CLAIM];

/// Serves ModelDeployments on a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "chandler-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after the ModelDeployments of the cluster, or wait until another operator ends.
    Run(RunArgs),
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Image of the server, for models whose spec names none.
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub server_image: String,

    /// Image of the program `chandler`, whose Jobs judge the answers of new revisions. Without it no rollout with
    /// `evaluation` goes through.
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub evaluator_image: Option<String>,

    /// Address of health and metrics.
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([0, 0, 0, 0], ports::ADMIN)))]
    pub listen: SocketAddr,

    /// A variable for every server and its fetches, such as a hub's address; may be repeated.
    #[arg(long = "worker-env", value_name = "NAME=VALUE", value_parser = variable)]
    pub worker_env: Vec<(String, String)>,

    /// The gateways: a name that stands for the address of each, such as a headless Service's, and
    /// the port of their metrics. Without it no model is put to rest, and none is told whether
    /// callers need a key.
    #[arg(long, value_name = "HOST:PORT", value_parser = host)]
    pub gateways: Option<String>,

    /// Who tells what replicas measure: each of them, asked every second, or a Prometheus server that
    /// scrapes them.
    #[arg(long, value_name = "pods|prometheus=URL", default_value = "pods")]
    pub metrics: MetricsFrom,

    /// Folder with what the Prometheus server wants to see, as a Secret is mounted: `token`, or
    /// `username` and `password`; and `ca.crt`, authorities to trust besides those of the system.
    #[arg(long, value_name = "DIR", value_parser = credentials)]
    pub metrics_credentials: Option<PathBuf>,

    /// Look after the models of this namespace alone.
    #[arg(long, value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,

    /// Lease by which one of several operators is the one that acts.
    #[arg(long, value_name = "NAME", default_value = LEASE)]
    pub lease_name: String,

    /// Folder on each node for models with `cache.kind: node`.
    #[arg(long, value_name = "DIR", default_value = mounts::NODE_CACHE, value_parser = folder)]
    pub node_cache: String,

    /// What this operator calls itself in the lease; no two may be called the same.
    #[arg(long, value_name = "NAME", env = env::POD_NAME)]
    pub pod_name: String,

    /// Namespace of the lease.
    #[arg(long, value_name = "NAMESPACE", env = env::POD_NAMESPACE)]
    pub pod_namespace: String,

    /// End at a boundary such as `after:SetTraffic`; for tests of faults.
    #[arg(long, value_name = "SIDE:STEP", env = env::FAILPOINT, hide = true)]
    pub failpoint: Option<Failpoint>,
}

impl RunArgs {
    /// What every model of this installation has in common.
    #[must_use]
    pub fn site(&self) -> Site {
        Site {
            server_image: self.server_image.clone(),
            evaluator_image: self.evaluator_image.clone(),
            worker_env: self.worker_env.iter().cloned().collect::<BTreeMap<_, _>>(),
            node_cache: self.node_cache.clone(),
            sees_nodes: self.watch_namespace.is_none(),
        }
    }
}

fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("write an image such as registry.example/chandler-server:1.0".to_owned());
    }
    Ok(text.to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=VALUE, such as HTTPS_PROXY=http://proxy:3128")?;
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !begins_well || !name.chars().all(is_word) {
        return Err(format!(
            "`{name}` is no variable's name: write letters, digits and _, no digit first"
        ));
    }
    if OWN_VARIABLES.contains(&name) {
        return Err(format!(
            "`{name}` is set by the operator for each model: leave it out"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn host(text: &str) -> Result<String, String> {
    let is_word = |letter: char| !letter.is_whitespace() && letter != '/';
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let port = port.parse().is_ok_and(|port: u16| port > 0);
        port && !host.is_empty() && host.chars().all(is_word)
    });
    if !good {
        return Err(
            "write a name and a port, such as chandler-gateway-metrics.chandler-system.svc:8081"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn credentials(text: &str) -> Result<PathBuf, String> {
    folder(text).map(PathBuf::from)
}

fn folder(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Err("write an absolute path without `..`".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<RunArgs, String> {
        let always = ["chandler-operator", "run", "--server-image", "server:1"];
        let identity = ["--pod-name", "operator-0", "--pod-namespace", "chandler"];
        let all = always.iter().chain(&identity).chain(more);
        let Command::Run(args) = Cli::try_parse_from(all)
            .map_err(|error| error.to_string())?
            .command;
        Ok(args)
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        let args = parse(&[]).expect("good");
        assert_eq!(args.listen.to_string(), "0.0.0.0:8081");
        assert_eq!(args.lease_name, "chandler-operator");
        assert_eq!(args.node_cache, "/var/lib/chandler/models");
        assert_eq!(args.watch_namespace, None);
        assert_eq!(args.gateways, None);
        assert_eq!(args.metrics, MetricsFrom::Pods);
        assert_eq!(args.metrics_credentials, None);
        for good in ["gateways.system.svc:8081", "127.0.0.1:1", "[::1]:8081"] {
            let args = parse(&["--gateways", good]).expect(good);
            assert_eq!(args.gateways.as_deref(), Some(good));
        }
    }

    #[test]
    fn variables_go_to_the_site() {
        let args = parse(&["--worker-env", "A=b=c", "--worker-env", "EMPTY="]).expect("good");
        let expected = [("A", "b=c"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(args.site().worker_env, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_wrong_tells_what_to_write() {
        for (more, words) in [
            (["--worker-env", "A"], "write NAME=VALUE"),
            (["--worker-env", "1A=b"], "no digit first"),
            (["--worker-env", "=b"], "no variable's name"),
            (["--worker-env", "CHANDLER_LOCK={}"], "leave it out"),
            (["--node-cache", "models"], "absolute path"),
            (["--node-cache", "/var/../etc"], "absolute path"),
            (["--gateways", "gateways"], "a name and a port"),
            (["--gateways", ":8081"], "a name and a port"),
            (["--gateways", "gateways:0"], "a name and a port"),
            (["--gateways", "http://gateways:80"], "a name and a port"),
            (["--metrics", "prometheus"], "such as prometheus=http://"),
            (["--metrics", "prometheus=prom:9090"], "write http://"),
            (["--metrics-credentials", "folder"], "absolute path"),
            (["--failpoint", "now"], "before:STEP or after:STEP"),
        ] {
            let error = parse(&more).expect_err(more[1]);
            assert!(error.contains(words), "{error}");
        }
    }
}
