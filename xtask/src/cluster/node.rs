//! A node: containerd, a kubelet and a kube-proxy in namespaces of their own. Its first process
//! does nothing and holds the others: when that one is killed, all are gone at once, pods too, as
//! in a power cut. Its disk stays.

use super::place::{self, Node};
use super::process::{self, Process};
use super::wait::{self, Seen};
use super::{build, cgroup, control, host, kubectl, load, network, pki, template};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;
use std::time::Duration;

const CONTAINERD_TEMPLATE: &str = include_str!("../../../e2e/cluster/config/containerd.toml");
const CNI_TEMPLATE: &str = include_str!("../../../e2e/cluster/config/cni.conflist");
const KUBELET_TEMPLATE: &str = include_str!("../../../e2e/cluster/config/kubelet.yaml");

/// The names of a node's processes, without the node's own.
pub(crate) const PARTS: &[&str] = &[FIRST, CONTAINERD, KUBELET, PROXY];
const FIRST: &str = "node";
const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const PROXY: &str = "kube-proxy";

const CONTAINERD_LIMIT: Duration = Duration::from_secs(60);
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How long a kubelet may take to end by itself.
const KUBELET_GRACE: Duration = Duration::from_secs(20);

/// Whether the node has power.
pub(crate) fn is_on(node: Node) -> bool {
    find(node, FIRST).is_some()
}

fn find(node: Node, part: &str) -> Option<Process> {
    process::find(&node.part(part))
}

/// Starts what isn't running of a node.
///
/// # Errors
/// When something can't be started.
pub(crate) fn ensure(node: Node) -> Result<()> {
    let first = match (find(node, FIRST), find(node, CONTAINERD)) {
        (Some(first), Some(_)) => first,
        // Without containerd it was interrupted while it started, or is half dead.
        _ => boot(node)?,
    };
    ensure_kubelet(node, first)?;
    if find(node, PROXY).is_none() {
        let settings = node.disk().join("kube-proxy.yaml");
        control::write_proxy_settings(&settings, node)?;
        let program = build::program(PROXY)?.display().to_string();
        let command = [program, format!("--config={}", settings.display())];
        process::start_beside(&node.part(PROXY), first, &command)?;
    }
    Ok(())
}

/// From no power to a running containerd that has its images.
fn boot(node: Node) -> Result<Process> {
    cut_power(node)?;
    pki::make_node(node)?;
    cgroup::make(node)?;
    network::make_node(node)?;
    let first = start_first(node)?;
    mount_own_folders(node, first)?;
    start_containerd(node, first)?;
    for archive in load::archives()? {
        load::into_node(node, &archive)?;
    }
    Ok(first)
}

fn start_first(node: Node) -> Result<Process> {
    let mut command: Vec<_> = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
    ]
    .map(str::to_owned)
    .into();
    command.push(build::program("pause")?.display().to_string());
    // The process that made the namespaces is outside of them: the one to note is its child.
    let maker = process::start(&node.part("unshare"), &node.network(), &command)?;
    process::remember_child(&node.part(FIRST), maker)
}

fn mount_own_folders(node: Node, first: Process) -> Result<()> {
    // A kubelet's mounts must be seen by the containers that are there already.
    run_inside(first, &["mount", "--make-rshared", "/"])?;
    for folder in host::PRIVATE_FOLDERS {
        let own = node.disk().join(folder.trim_start_matches('/'));
        fs::create_dir_all(&own)?;
        // As after a restart: these are sockets, locks and ids of processes that are gone.
        if *folder == "/run" {
            fs::remove_dir_all(&own)?;
            fs::create_dir_all(own.join("lock"))?;
        }
        run_inside(
            first,
            &["mount", "--bind", &own.display().to_string(), folder],
        )?;
    }
    Ok(())
}

/// A command in all namespaces of a node.
///
/// # Errors
/// When the node is off.
pub(crate) fn inside(node: Node, program: &str) -> Result<Command> {
    let first = find(node, FIRST).with_context(|| format!("node {node} is off"))?;
    Ok(inside_of(first, program))
}

fn inside_of(first: Process, program: &str) -> Command {
    let mut command = shell::command("nsenter");
    command
        .args(process::entry_of(first))
        .arg("--")
        .arg(program);
    command
}

fn run_inside(first: Process, words: &[&str]) -> Result<()> {
    shell::run(inside_of(first, words[0]).args(&words[1..]))
}

fn start_containerd(node: Node, first: Process) -> Result<()> {
    let disk = node.disk();
    let cni = disk.join("cni");
    template::write(
        &cni.join("10-chandler.conflist"),
        CNI_TEMPLATE,
        &[("NODE_PODS", &node.pods())],
    )?;
    let settings = disk.join("containerd.toml");
    let values = [
        ("PAUSE", &*load::tagged(place::PAUSE_IMAGE)),
        ("CNI", &cni.display().to_string()),
    ];
    template::write(&settings, CONTAINERD_TEMPLATE, &values)?;
    let name = node.part(CONTAINERD);
    let command = [
        "containerd".to_owned(),
        format!("--config={}", settings.display()),
    ];
    process::start_beside(&name, first, &command)?;
    let what = format!("containerd of {node} answers");
    wait::until(&what, CONTAINERD_LIMIT, std::slice::from_ref(&name), || {
        check(node, CONTAINERD)?;
        Ok(
            match kubectl::answer(inside_of(first, "ctr").arg("version"), "") {
                Ok(_) => Seen::Yes,
                Err(error) => Seen::NotYet(error.to_string()),
            },
        )
    })
}

fn ensure_kubelet(node: Node, first: Process) -> Result<()> {
    if find(node, KUBELET).is_some() {
        return Ok(());
    }
    let disk = node.disk();
    let (settings, resolv) = (disk.join("kubelet.yaml"), disk.join("resolv.conf"));
    fs::write(&resolv, "")?;
    let values = [
        ("CA", &*place::certificate("ca.crt")),
        ("NAME_SERVER", place::NAME_SERVER),
        ("RESOLV", &resolv.display().to_string()),
        ("CGROUP", &cgroup::of_node(node)),
    ];
    template::write(&settings, KUBELET_TEMPLATE, &values)?;
    let credentials = place::credentials(&node.part(KUBELET));
    let command = [
        build::program(KUBELET)?.display().to_string(),
        format!("--config={}", settings.display()),
        format!("--kubeconfig={}", credentials.display()),
        format!("--hostname-override={node}"),
        format!("--node-ip={}", node.address()),
    ];
    process::start_beside(&node.part(KUBELET), first, &command).map(drop)
}

/// # Errors
/// When that part of a node isn't running.
fn check(node: Node, part: &str) -> Result<()> {
    let name = node.part(part);
    if process::find(&name).is_none() {
        bail!("{name} has ended; see {}", place::log(&name).display());
    }
    Ok(())
}

/// Waits until the API server reaches the kubelet and holds the node to be ready.
///
/// # Errors
/// When a part of the node has ended, or time is up.
pub(crate) fn wait_until_ready(node: Node) -> Result<()> {
    let logs = [KUBELET, CONTAINERD].map(|part| node.part(part));
    let name = node.to_string();
    // A node that was ready before counts as ready until the controllers miss it: ask the kubelet.
    let health = format!("/api/v1/nodes/{node}/proxy/healthz");
    let condition = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    wait::until(&format!("node {node} is ready"), READY_LIMIT, &logs, || {
        for part in PARTS {
            check(node, part)?;
        }
        if let Err(error) = kubectl::ask(&["get", "--raw", &health]) {
            return Ok(Seen::NotYet(error.to_string()));
        }
        Ok(
            match kubectl::ask(&["get", "node", &name, "--output", condition]) {
                Ok(ready) if ready == "True" => Seen::Yes,
                Ok(ready) => Seen::NotYet(format!("its condition Ready is {ready:?}")),
                Err(error) => Seen::NotYet(error.to_string()),
            },
        )
    })
}

/// Ends all of a node at once.
///
/// # Errors
/// When it doesn't end.
pub(crate) fn cut_power(node: Node) -> Result<()> {
    let parts = [FIRST, "unshare", KUBELET, CONTAINERD, PROXY];
    for part in parts {
        process::end(&node.part(part), Duration::ZERO)?;
    }
    for process in process::inside(&[node.network()]) {
        process.end(Duration::ZERO)?;
    }
    cgroup::remove_node(node)?;
    network::remove(&node.network())
}

/// Stops the kubelet alone: its pods go on.
///
/// # Errors
/// When it doesn't end.
pub(crate) fn stop_kubelet(node: Node) -> Result<()> {
    process::end(&node.part(KUBELET), KUBELET_GRACE)
}

/// Takes a node out of the cluster.
///
/// # Errors
/// When it doesn't end, or the API server refuses.
pub(crate) fn leave(node: Node) -> Result<()> {
    cut_power(node)?;
    let name = node.to_string();
    kubectl::ask(&["delete", "node", &name, "--ignore-not-found"]).map(drop)
}

/// Makes a node offer graphics cards that it doesn't have, so that pods that ask for them can be
/// placed.
///
/// # Errors
/// When the API server refuses.
pub(crate) fn offer_gpus(node: Node, count: u32) -> Result<()> {
    let resource = format!("{{\"nvidia.com/gpu\": \"{count}\"}}");
    let patch =
        format!("{{\"status\": {{\"capacity\": {resource}, \"allocatable\": {resource}}}}}");
    let name = node.to_string();
    let arguments = [
        "patch",
        "node",
        &name,
        "--subresource=status",
        "--type=merge",
    ];
    kubectl::ask(&[&arguments[..], &["--patch", &patch]].concat()).map(drop)
}
