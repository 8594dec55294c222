//! Certificates and credentials, made by kubeadm.

use super::place::{self, Node};
use super::{build, kubectl, network, template};
use anyhow::{Context, Result};
use std::fs;

const TEMPLATE: &str = include_str!("../../../e2e/cluster/config/kubeadm.yaml");
/// All pods of the cluster.
pub(crate) const PODS: &str = "10.244.0.0/16";

/// Makes all that the control plane needs.
///
/// # Errors
/// With kubeadm's words.
pub(crate) fn make() -> Result<()> {
    let settings = place::run("kubeadm.yaml");
    let certificates = place::run("pki").display().to_string();
    let values = [
        ("CONTROL", place::CONTROL_ADDRESS),
        ("VERSION", build::KUBERNETES),
        ("CERTIFICATES", &certificates),
        ("SERVICES", place::SERVICES),
        ("PODS", PODS),
    ];
    template::write(&settings, TEMPLATE, &values)?;
    let settings = settings.display().to_string();
    let folder = place::run("credentials").display().to_string();
    kubeadm(&["init", "phase", "certs", "all", "--config", &settings])?;
    for user in ["admin", "super-admin", "controller-manager", "scheduler"] {
        let phase = ["init", "phase", "kubeconfig", user, "--config", &settings];
        kubeadm(&[&phase[..], &["--kubeconfig-dir", &folder]].concat())?;
    }
    make_user("kube-proxy", "system:kube-proxy", None)
}

/// Makes the credentials of a node's kubelet, once.
///
/// # Errors
/// With kubeadm's words.
pub(crate) fn make_node(node: Node) -> Result<()> {
    let name = node.part("kubelet");
    if place::credentials(&name).exists() {
        return Ok(());
    }
    make_user(&name, &format!("system:node:{node}"), Some("system:nodes"))
}

fn make_user(file: &str, user: &str, group: Option<&str>) -> Result<()> {
    // This command reads the second of the two documents alone, and takes no others.
    let both = fs::read_to_string(place::run("kubeadm.yaml"))?;
    let (_, cluster) = both
        .split_once("---\n")
        .context("one document in kubeadm.yaml")?;
    let settings = place::run("kubeadm-cluster.yaml");
    fs::write(&settings, cluster)?;
    let settings = settings.display().to_string();
    let mut arguments = vec!["kubeconfig", "user", "--config", &settings];
    arguments.extend(["--client-name", user]);
    if let Some(group) = group {
        arguments.extend(["--org", group]);
    }
    let credentials = kubeadm(&arguments)?;
    Ok(fs::write(place::credentials(file), credentials)?)
}

fn kubeadm(arguments: &[&str]) -> Result<String> {
    let mut command = network::nsenter(&place::control_network(), build::program("kubeadm")?);
    kubectl::answer(command.args(arguments), "")
        .with_context(|| format!("`kubeadm {}`", arguments.join(" ")))
}
