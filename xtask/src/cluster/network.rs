//! Network namespaces: one for the control plane, with the bridge, and one for each node. The
//! machine's own network is never touched.

use super::place::{self, Node};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Settings of every namespace of ours. They belong to the namespace alone.
const SETTINGS: &[&str] = &[
    "net.ipv4.ip_forward=1",
    "net.bridge.bridge-nf-call-iptables=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
];

/// Makes the control plane's namespace, unless it is there.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn make_control() -> Result<()> {
    let own = place::control_network();
    if is_namespace(&own) {
        return Ok(());
    }
    make(&own)?;
    let (bridge, address) = (place::BRIDGE, place::CONTROL_ADDRESS);
    ip(&own, &format!("link add {bridge} type bridge"))?;
    ip(&own, &format!("addr add {address}/24 dev {bridge}"))?;
    ip(&own, &format!("link set {bridge} up"))?;
    add_routes(&own, bridge, None)
}

/// Makes a node's namespace and joins it to the bridge. One that is there goes first: with it go
/// the packet filter's rules and the pods' bridge, as in a machine that starts anew.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn make_node(node: Node) -> Result<()> {
    let (own, control) = (node.network(), place::control_network());
    remove(&own)?;
    make(&own)?;
    let (port, bridge) = (format!("chandler-{node}"), place::BRIDGE);
    // The old pair goes with the old namespace, but not at once.
    let _ = shell::succeeds(nsenter(&control, "ip").args(["link", "del", &port]));
    let peer = own.display();
    ip(
        &control,
        &format!("link add {port} type veth peer name eth0 netns {peer}"),
    )?;
    ip(&control, &format!("link set {port} master {bridge} up"))?;
    ip(&own, &format!("addr add {}/24 dev eth0", node.address()))?;
    ip(&own, "link set eth0 up")?;
    add_routes(&own, "eth0", Some(node))
}

/// Routes to every node's pods, also of nodes that come later, and one for Services: their
/// addresses are rewritten before a packet leaves, but only if there is a way for it.
fn add_routes(own: &Path, device: &str, except: Option<Node>) -> Result<()> {
    ip(own, &format!("route add {} dev {device}", place::SERVICES))?;
    for node in Node::all().filter(|node| Some(*node) != except) {
        ip(
            own,
            &format!("route add {} via {}", node.pods(), node.address()),
        )?;
    }
    Ok(())
}

fn make(path: &Path) -> Result<()> {
    remove(path)?;
    fs::create_dir_all(place::NAMESPACES)?;
    File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let mut unshare = shell::command("unshare");
    shell::run(unshare.arg(format!("--net={}", path.display())).arg("true"))?;
    ip(path, "link set lo up")?;
    let mut sysctl = nsenter(path, "sysctl");
    shell::run(sysctl.args(["--quiet", "--write"]).args(SETTINGS)).context(
        "a network namespace can't be set up; does the kernel have br_netfilter (`modprobe \
         br_netfilter`)?",
    )
}

/// Every namespace of ours on this machine.
pub(crate) fn all() -> Vec<PathBuf> {
    let entries = fs::read_dir(place::NAMESPACES)
        .into_iter()
        .flatten()
        .flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(place::NAMESPACE_PREFIX)
    });
    ours.map(|entry| entry.path()).collect()
}

/// Whether a namespace is held there, and not merely an empty file left.
pub(crate) fn is_namespace(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = path.display().to_string();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(path.as_str()))
}

/// Removes a namespace, if it is there.
///
/// # Errors
/// When it stays.
pub(crate) fn remove(path: &Path) -> Result<()> {
    while is_namespace(path) {
        shell::run(shell::command("umount").arg(path))?;
    }
    match fs::remove_file(path) {
        Err(error) if path.exists() => {
            Err(error).with_context(|| format!("can't remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A command in a network namespace.
pub(crate) fn nsenter(
    network: &Path,
    program: impl AsRef<std::ffi::OsStr>,
) -> std::process::Command {
    let mut command = shell::command("nsenter");
    command
        .arg(format!("--net={}", network.display()))
        .arg("--")
        .arg(program);
    command
}

fn ip(network: &Path, words: &str) -> Result<()> {
    let output = nsenter(network, "ip").args(words.split(' ')).output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {words}`: {}", told.trim());
    }
    Ok(())
}
