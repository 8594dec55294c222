//! What can go wrong with a cluster, done on purpose.

use super::owner::{self, Cluster, Lock};
use super::place::{self, Node};
use super::{control, kubectl, network, node};
use crate::shell;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::fs;
use std::net::SocketAddrV4;
use std::process::Command;

/// Rules of the control plane's packet filter that are faults.
const CHAIN: &str = "CHANDLER-FAULTS";

/// A fault, or its end.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Fault {
    /// End the API server and start it again; returns when it is ready.
    ApiRestart,
    /// Stop a node's kubelet; its pods go on.
    KubeletStop {
        /// The node's number, from 1.
        node: u8,
    },
    /// Start a node's kubelet again; returns when the node is ready.
    KubeletStart {
        /// The node's number, from 1.
        node: u8,
    },
    /// Delay every request to etcd; 0 ends it.
    EtcdDelay {
        /// How long, in milliseconds.
        milliseconds: u32,
    },
    /// Refuse every connection from the control plane's network to these ports, those that are open
    /// among them. What goes from node to node is not touched.
    PortsCut {
        /// Address and port of each.
        #[arg(required = true)]
        ports: Vec<SocketAddrV4>,
    },
    /// Let the control plane's network reach all ports again.
    PortsMend,
    /// Kill the first container of a pod, as running out of memory does; its kubelet starts it again.
    PodKill {
        /// The pod's namespace.
        namespace: String,
        /// The pod.
        name: String,
    },
    /// Cut a node's power: everything on it is gone at once, but for its disk.
    NodeCrash {
        /// The node's number, from 1.
        node: u8,
    },
    /// Give a node its power again; returns when it is ready.
    NodeStart {
        /// The node's number, from 1.
        node: u8,
    },
}

/// Does it.
///
/// # Errors
/// When no cluster is up, it has no such node, or the cluster doesn't do what it should.
pub(crate) fn run(fault: Fault) -> Result<()> {
    let _lock = Lock::take()?;
    let cluster = owner::require()?;
    match fault {
        Fault::ApiRestart => control::restart_apiserver(),
        Fault::EtcdDelay { milliseconds } => delay_etcd(milliseconds),
        Fault::PortsCut { ports } => cut_ports(&ports),
        Fault::PortsMend => mend_ports(),
        Fault::PodKill { namespace, name } => kill_pod(&namespace, &name, cluster),
        Fault::KubeletStop { node } => node::stop_kubelet(find(node, cluster)?),
        Fault::NodeCrash { node } => node::cut_power(find(node, cluster)?),
        Fault::KubeletStart { node } => {
            let node = find(node, cluster)?;
            if !node::is_on(node) {
                bail!("node {node} is off: start it with `node-start {}`", node.0);
            }
            start(node, cluster)
        }
        Fault::NodeStart { node } => start(find(node, cluster)?, cluster),
    }
}

/// Delays every request to etcd.
///
/// # Errors
/// When the file that tells it can't be written.
pub(crate) fn delay_etcd(milliseconds: u32) -> Result<()> {
    // Replaced in one step: it is read at any time.
    let draft = place::run("etcd-delay.draft");
    fs::write(&draft, milliseconds.to_string())?;
    Ok(fs::rename(draft, place::run("etcd-delay"))?)
}

fn cut_ports(ports: &[SocketAddrV4]) -> Result<()> {
    if !shell::succeeds(iptables().args(["--list", CHAIN])) {
        shell::run(iptables().args(["--new-chain", CHAIN]))?;
    }
    // What the nodes send each other passes the bridge of this network and not this way.
    if !shell::succeeds(iptables().args(["--check", "OUTPUT", "--jump", CHAIN])) {
        shell::run(iptables().args(["--insert", "OUTPUT", "--jump", CHAIN]))?;
    }
    for port in ports {
        let mut rule = iptables();
        rule.args(["--append", CHAIN, "--protocol", "tcp"]);
        rule.args(["--destination", &port.ip().to_string()]);
        rule.args(["--dport", &port.port().to_string()]);
        shell::run(rule.args(["--jump", "REJECT", "--reject-with", "tcp-reset"]))?;
    }
    Ok(())
}

/// Lets the control plane's network reach all ports.
///
/// # Errors
/// When a rule stays.
pub(crate) fn mend_ports() -> Result<()> {
    match shell::succeeds(iptables().args(["--list", CHAIN])) {
        true => shell::run(iptables().args(["--flush", CHAIN])),
        false => Ok(()),
    }
}

/// The control plane's packet filter, in which kube-proxy writes too.
fn iptables() -> Command {
    let mut iptables = network::nsenter(&place::control_network(), "iptables");
    iptables.arg("--wait");
    iptables
}

fn find(number: u8, cluster: Cluster) -> Result<Node> {
    let found = Node::first(cluster.nodes).find(|node| node.0 == number);
    found.ok_or_else(|| {
        anyhow::anyhow!("there is no node {number}: they are 1 to {}", cluster.nodes)
    })
}

/// With no signal before: a pod that is deleted is asked to stop first, and may say good-bye.
fn kill_pod(namespace: &str, name: &str, cluster: Cluster) -> Result<()> {
    let fields = "jsonpath={.spec.nodeName} {.status.containerStatuses[0].containerID}";
    let pod = ["get", "pod", "--namespace", namespace, name];
    let told = kubectl::ask(&[&pod[..], &["--output", fields]].concat())?;
    let (node, container) = told
        .split_once(" containerd://")
        .with_context(|| format!("{namespace}/{name} runs no container"))?;
    let node = Node::first(cluster.nodes).find(|it| it.to_string() == node);
    let node = node.with_context(|| format!("{namespace}/{name} is on no node of this cluster"))?;
    let kill = ["--namespace", "k8s.io", "tasks", "kill", "--signal", "KILL"];
    let mut command = node::inside(node, "ctr")?;
    kubectl::answer(command.args(kill).arg(container), "").map(drop)
}

fn start(node: Node, cluster: Cluster) -> Result<()> {
    node::ensure(node)?;
    node::wait_until_ready(node)?;
    // A kubelet that starts anew forgets resources that no plug-in of its own brought.
    if cluster.gpus > 0 {
        node::offer_gpus(node, cluster.gpus)?;
    }
    Ok(())
}
