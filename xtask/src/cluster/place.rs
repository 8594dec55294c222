//! Where the cluster's parts lie, and what they are called. Everything on the machine that others
//! could meet bears the project's name.

use chandler_e2e::layout;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

/// Nodes at most: each has one digit in its addresses.
pub(crate) const MOST_NODES: u8 = 9;
/// The control plane's address, on its bridge.
pub(crate) const CONTROL_ADDRESS: &str = "10.89.0.1";
/// The bridge that joins the nodes, in the control plane's network namespace.
pub(crate) const BRIDGE: &str = "chandler0";
/// The addresses of Services.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The cluster's name server, one of them.
pub(crate) const NAME_SERVER: &str = "10.96.0.10";
/// What a sandbox of a pod runs.
pub(crate) const PAUSE_IMAGE: &str = "chandler.test/pause";
/// The cluster's name server.
pub(crate) const COREDNS_IMAGE: &str = "chandler.test/coredns";
/// The cgroup under which every pod's cgroup stands.
pub(crate) const CGROUP: &str = "chandler";
/// What is true of the machine and not of a folder: who has the cluster, which processes run,
/// what the kernel's settings were before. Like those it is gone after a restart.
pub(crate) const MACHINE: &str = "/run/chandler-cluster";
/// Held by whoever changes the cluster.
pub(crate) const LOCK: &str = "/run/chandler-cluster.lock";
/// Where `ip netns` looks for namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";
/// What every network namespace of ours begins with.
pub(crate) const NAMESPACE_PREFIX: &str = "chandler-";

/// All that the cluster keeps in the repository.
pub(crate) fn folder() -> PathBuf {
    layout::root().join("target/cluster")
}

/// The binaries, kept from run to run.
pub(crate) fn bin(name: &str) -> PathBuf {
    folder().join("bin").join(name)
}

/// The images that the cluster itself needs.
pub(crate) fn images() -> PathBuf {
    folder().join("images")
}

/// The log of one process of the last cluster.
pub(crate) fn log(name: &str) -> PathBuf {
    folder().join("logs").join(format!("{name}.log"))
}

/// The API server's audit log of the last cluster, whose older files lie beside the newest.
pub(crate) fn audit_folder() -> PathBuf {
    folder().join("logs/audit")
}

/// What one cluster consists of, from its start until it is taken down.
pub(crate) fn run(name: &str) -> PathBuf {
    folder().join("run").join(name)
}

/// A certificate or key.
pub(crate) fn certificate(name: &str) -> String {
    run("pki").join(name).display().to_string()
}

/// The credentials of one user or component.
pub(crate) fn credentials(name: &str) -> PathBuf {
    run("credentials").join(format!("{name}.conf"))
}

/// The credentials of the cluster's administrator.
pub(crate) fn kubeconfig() -> PathBuf {
    credentials("admin")
}

/// The network namespace of the control plane, from which all of the cluster can be reached.
pub(crate) fn control_network() -> PathBuf {
    network("control")
}

fn network(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(format!("{NAMESPACE_PREFIX}{name}"))
}

/// One node, by its number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    /// Every node that there could be.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (1..=MOST_NODES).map(Self)
    }

    /// The nodes of a cluster of `count`.
    pub(crate) fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).map(Self)
    }

    pub(crate) fn address(self) -> String {
        format!("10.89.0.1{}", self.0)
    }

    /// The addresses of its pods.
    pub(crate) fn pods(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    pub(crate) fn network(self) -> PathBuf {
        network(&self.to_string())
    }

    /// What lies on its disk.
    pub(crate) fn disk(self) -> PathBuf {
        run(&self.to_string())
    }

    /// The name of one of its processes, or of what belongs to it alone.
    pub(crate) fn part(self, name: &str) -> String {
        format!("{name}-{self}")
    }
}

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "n{}", self.0)
    }
}
