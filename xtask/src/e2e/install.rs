//! Chandler's chart on the cluster: installed, tested, upgraded, uninstalled.

use crate::shell::{capture, command, run};
use anyhow::{Result, bail};
use std::process::Command;

/// Where it is installed; the tests look there.
pub(crate) const NAMESPACE: &str = "chandler-system";
/// What the installation is called.
const RELEASE: &str = "chandler";
const CHART: &str = "charts/chandler";
/// Ample for images that are on the nodes.
const TIMEOUT: &str = "300s";

/// A variable that every server gets, and its value.
pub(crate) type ServerEnv = (&'static str, String);

/// Installs it, or brings what is installed to the same state.
///
/// # Errors
/// When it does not become ready.
pub(crate) fn install(env: &[ServerEnv]) -> Result<()> {
    run(&mut helm_upgrade(env))
}

/// Runs the chart's own test.
///
/// # Errors
/// When it fails.
pub(super) fn test() -> Result<()> {
    run(helm("test").arg(RELEASE).args(["--timeout", TIMEOUT]))
}

/// Upgrades with other values; the custom resources stay.
///
/// # Errors
/// When it does not become ready again.
pub(super) fn upgrade(env: &[ServerEnv]) -> Result<()> {
    run(helm_upgrade(env).args(["--set", "gateway.replicas=1"]))
}

/// Uninstalls it: nothing stays but the definition of the resource, and with it users' models.
///
/// # Errors
/// When something else stays, or the definition does not.
pub(super) fn uninstall() -> Result<()> {
    run(helm("uninstall")
        .arg(RELEASE)
        .args(["--wait", "--timeout", TIMEOUT]))?;
    let label = format!("app.kubernetes.io/instance={RELEASE}");
    let kinds = "deployments,services,pods,serviceaccounts,roles,rolebindings,networkpolicies,\
                 poddisruptionbudgets";
    let wait = [
        "wait",
        "--for=delete",
        "--timeout",
        TIMEOUT,
        kinds,
        "-n",
        NAMESPACE,
        "-l",
        &label,
    ];
    run(command("kubectl").args(wait))?;
    let cluster_wide = [
        "get",
        "clusterroles,clusterrolebindings,namespaces",
        "-l",
        &label,
        "-o",
        "name",
    ];
    let left = capture(command("kubectl").args(cluster_wide))?;
    if !left.trim().is_empty() {
        bail!("left behind: {left}");
    }
    run(command("kubectl").args(["get", "crd", "modeldeployments.chandler.dev"]))
}

fn helm_upgrade(env: &[ServerEnv]) -> Command {
    let mut helm = helm("upgrade");
    helm.args(["--install", RELEASE, CHART, "--create-namespace"])
        .args(["--set", "nodeCache.enabled=true"])
        .args(["--wait", "--timeout", TIMEOUT]);
    for (name, value) in env {
        helm.arg("--set-string");
        helm.arg(format!("server.env.{name}={value}"));
    }
    helm
}

fn helm(what: &str) -> Command {
    let mut helm = command("helm");
    helm.args([what, "--namespace", NAMESPACE]);
    helm
}
