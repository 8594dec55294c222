//! Bringing a cluster up, whatever was there before.

use super::owner::{self, Cluster, Lock};
use super::place::{self, Node};
use super::wait::{self, Seen};
use super::{
    build, clear, control, fault, host, kubectl, load, network, node, pki, process, template,
};
use crate::shell;
use anyhow::{Context, Result};
use std::fs;
use std::time::{Duration, Instant};

const ADDONS: &str = include_str!("../../../e2e/cluster/config/addons.yaml");
const NAMES_LIMIT: Duration = Duration::from_secs(120);

/// `cluster up`: builds what changed and brings up what isn't running. Left out, the number of nodes
/// and of graphics cards stays as it is.
///
/// # Errors
/// When something can't be built or started, or doesn't become ready.
pub(crate) fn run(nodes: Option<u8>, gpus: Option<u32>) -> Result<()> {
    let start = Instant::now();
    host::require_root()?;
    host::prepare()?;
    build::all()?;
    load::make_own_images()?;
    println!(
        "programs and images are built ({:.1} s)",
        start.elapsed().as_secs_f64()
    );
    let lock = Lock::take()?;
    owner::claim(&lock)?;
    let before = running_cluster(&lock)?;
    let wanted = Cluster {
        nodes: nodes.or(before.map(|cluster| cluster.nodes)).unwrap_or(1),
        gpus: gpus.or(before.map(|cluster| cluster.gpus)).unwrap_or(0),
    };
    match before {
        Some(before) if before == wanted => println!("a cluster is up already"),
        Some(before) => println!("a cluster of {} is up: changing it", shown(before)),
        None => prepare_new()?,
    }
    bring_up(wanted)?;
    owner::write_cluster(wanted)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("the cluster of {} is up ({seconds:.1} s)", shown(wanted));
    println!("`cargo xtask cluster run -- kubectl get pods --all-namespaces` speaks to it");
    Ok(())
}

fn shown(cluster: Cluster) -> String {
    match cluster.nodes {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    }
}

/// The cluster that runs. What is there without having become ready, or without its memory, is
/// cleared: a half-made cluster isn't worth the doubt.
fn running_cluster(lock: &Lock) -> Result<Option<Cluster>> {
    let cluster = owner::cluster();
    let has_memory = process::find("etcd").is_some();
    if cluster.is_some() && has_memory {
        return Ok(cluster);
    }
    let is_left = !clear::running().is_empty()
        || !network::all().is_empty()
        || place::folder().join("run").exists();
    if is_left {
        println!("clearing what an earlier cluster left");
        clear::all(lock)?;
        owner::claim(lock)?;
    }
    Ok(None)
}

fn prepare_new() -> Result<()> {
    let logs = place::folder().join("logs");
    if logs.exists() {
        fs::remove_dir_all(&logs).context("can't remove the logs of the last cluster")?;
    }
    host::change_settings()?;
    network::make_control()?;
    pki::make()?;
    let resolv = format!(
        "nameserver {}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n\
         options ndots:5\n",
        place::NAME_SERVER
    );
    Ok(fs::write(place::run("resolv.conf"), resolv)?)
}

fn bring_up(wanted: Cluster) -> Result<()> {
    // Faults that an interrupted test has left in force.
    fault::delay_etcd(0)?;
    fault::mend_ports()?;
    control::ensure()?;
    control::wait_until_ready()?;
    let addons = [
        ("COREDNS", &*load::tagged(place::COREDNS_IMAGE)),
        ("NAME_SERVER", place::NAME_SERVER),
    ];
    kubectl::apply_as_founder(&template::fill(ADDONS, &addons)?)
        .context("the API server refuses e2e/cluster/config/addons.yaml")?;
    for extra in Node::all().skip(usize::from(wanted.nodes)) {
        if node::is_on(extra) || network::is_namespace(&extra.network()) {
            println!("taking node {extra} out");
            node::leave(extra)?;
        }
    }
    for one in Node::first(wanted.nodes) {
        node::ensure(one)?;
    }
    for one in Node::first(wanted.nodes) {
        node::wait_until_ready(one)?;
        kubectl::ask(&["uncordon", &one.to_string()])?;
        if wanted.gpus > 0 {
            node::offer_gpus(one, wanted.gpus)?;
        }
    }
    wait_for_names()?;
    wait_for_account()
}

/// The name server answers through its Service: so pods run, and Services can be reached.
fn wait_for_names() -> Result<()> {
    let logs = [node::PARTS[1], node::PARTS[2]].map(|part| Node(1).part(part));
    let rollout = [
        "--namespace=kube-system",
        "rollout",
        "status",
        "daemonset/coredns",
    ];
    wait::until("the name server answers", NAMES_LIMIT, &logs, || {
        control::check_components()?;
        let once = [&rollout[..], &["--watch=false"]].concat();
        let told = match kubectl::ask(&once) {
            Ok(told) => told,
            Err(error) => return Ok(Seen::NotYet(error.to_string())),
        };
        if !told.contains("successfully rolled out") {
            return Ok(Seen::NotYet(told.trim().to_owned()));
        }
        let connect = format!("exec 3<>/dev/tcp/{}/53", place::NAME_SERVER);
        let mut bash = network::nsenter(&place::control_network(), "timeout");
        let is_reached = shell::succeeds(bash.args(["2", "bash", "-c", &connect]));
        Ok(match is_reached {
            true => Seen::Yes,
            false => Seen::NotYet(format!("no connection to {}", place::NAME_SERVER)),
        })
    })
}

/// Until then no pod is admitted in that namespace.
fn wait_for_account() -> Result<()> {
    let what = "the namespace `default` has its service account";
    let logs = ["kube-controller-manager".to_owned()];
    wait::until(what, NAMES_LIMIT, &logs, || {
        Ok(match kubectl::ask(&["get", "serviceaccount", "default"]) {
            Ok(_) => Seen::Yes,
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
}
