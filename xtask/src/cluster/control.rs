//! The control plane: etcd behind a proxy that can slow it down, the API server, the controllers,
//! the scheduler, and a kube-proxy so that Services can be reached from here.

use super::place::{self, Node};
use super::wait::{self, Seen};
use super::{build, kubectl, pki, process, template};
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its components, in the order in which they need each other.
pub(crate) const COMPONENTS: &[&str] = &[
    "etcd",
    "slow",
    APISERVER,
    "kube-controller-manager",
    "kube-scheduler",
    PROXY,
];
/// The API server's process.
pub(crate) const APISERVER: &str = "kube-apiserver";
const PROXY: &str = "kube-proxy";
const PROXY_TEMPLATE: &str = include_str!("../../../e2e/cluster/config/kube-proxy.yaml");
const AUDIT_POLICY: &str = include_str!("../../../e2e/cluster/config/audit.yaml");
/// Megabytes that a file of the audit log may have, and files that are kept beside the newest.
const AUDIT_SIZE: (u32, u32) = (32, 7);

const ETCD: &str = "127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";
const SLOW_ETCD: &str = "127.0.0.1:2479";

/// How long the API server may take until it is ready.
const API_LIMIT: Duration = Duration::from_secs(180);
/// How long the API server may take to end by itself. With watches open it takes a minute, and all
/// that time it answers nobody.
const END_GRACE: Duration = Duration::from_secs(5);

/// Starts every component that isn't running, and anew one that runs with other arguments than it
/// would be started with.
///
/// # Errors
/// When one can't be started.
pub(crate) fn ensure() -> Result<()> {
    for name in COMPONENTS {
        match process::find(name) {
            Some(process) if process.runs(&command(name)?) => {}
            Some(_) => {
                println!("{name} gets other arguments");
                restart(name)?;
            }
            None => start(name)?,
        }
    }
    Ok(())
}

fn start(name: &str) -> Result<()> {
    write_settings(name)?;
    process::start(name, &place::control_network(), &command(name)?).map(drop)
}

fn restart(name: &str) -> Result<()> {
    process::end(name, END_GRACE)?;
    start(name)
}

fn command(name: &str) -> Result<Vec<String>> {
    let mut command = vec![build::program(name)?.display().to_string()];
    command.extend(arguments(name)?);
    Ok(command)
}

fn arguments(name: &str) -> Result<Vec<String>> {
    Ok(match name {
        "etcd" => etcd(),
        "slow" => slow(),
        APISERVER => apiserver(),
        "kube-controller-manager" => controller_manager(),
        "kube-scheduler" => client("scheduler"),
        PROXY => vec![format!("--config={}", proxy_settings().display())],
        _ => bail!("the control plane has no {name}"),
    })
}

fn proxy_settings() -> PathBuf {
    place::run("kube-proxy.yaml")
}

fn audit_policy() -> PathBuf {
    place::run("audit.yaml")
}

/// Writes what a component reads as it starts; some end when it changes.
fn write_settings(name: &str) -> Result<()> {
    match name {
        // Its node is the first one: it waits for none of its own in vain.
        PROXY => write_proxy_settings(&proxy_settings(), Node(1)),
        APISERVER => Ok(fs::write(audit_policy(), AUDIT_POLICY)?),
        _ => Ok(()),
    }
}

/// Writes the settings of a kube-proxy.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write_proxy_settings(path: &Path, node: Node) -> Result<()> {
    let credentials = place::credentials(PROXY).display().to_string();
    let values = [
        ("CREDENTIALS", credentials.as_str()),
        ("PODS", pki::PODS),
        ("NODE", &node.to_string()),
    ];
    template::write(path, PROXY_TEMPLATE, &values)
}

fn etcd() -> Vec<String> {
    vec![
        "--name=chandler".to_owned(),
        format!("--data-dir={}", place::run("etcd").display()),
        // Nothing of this cluster has to survive the machine.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=http://{ETCD}"),
        format!("--advertise-client-urls=http://{ETCD}"),
        format!("--listen-peer-urls={ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
        format!("--initial-cluster=chandler={ETCD_PEERS}"),
    ]
}

fn slow() -> Vec<String> {
    vec![
        format!("--listen={SLOW_ETCD}"),
        format!("--to={ETCD}"),
        format!("--delay-file={}", place::run("etcd-delay").display()),
    ]
}

fn apiserver() -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", place::certificate(name));
    vec![
        format!("--etcd-servers=http://{SLOW_ETCD}"),
        format!("--advertise-address={}", place::CONTROL_ADDRESS),
        format!("--service-cluster-ip-range={}", place::SERVICES),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        file("kubelet-client-key", "apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        format!("--audit-policy-file={}", audit_policy().display()),
        format!(
            "--audit-log-path={}",
            place::audit_folder().join("audit.log").display()
        ),
        format!("--audit-log-maxsize={}", AUDIT_SIZE.0),
        format!("--audit-log-maxbackup={}", AUDIT_SIZE.1),
    ]
}

fn controller_manager() -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", place::certificate(name));
    let mut all = client("controller-manager");
    all.extend([
        "--use-service-account-credentials=true".to_owned(),
        // So that a test of an autoscaler waits for less.
        "--horizontal-pod-autoscaler-sync-period=5s".to_owned(),
        // The default would be a folder in /usr of the machine.
        format!(
            "--flex-volume-plugin-dir={}",
            place::run("volume-plugins").display()
        ),
        file("root-ca-file", "ca.crt"),
        file("service-account-private-key-file", "sa.key"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        file("client-ca-file", "ca.crt"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
    ]);
    all
}

/// What every component that speaks to the API server is told.
fn client(user: &str) -> Vec<String> {
    let credentials = place::credentials(user).display().to_string();
    vec![
        format!("--kubeconfig={credentials}"),
        format!("--authentication-kubeconfig={credentials}"),
        format!("--authorization-kubeconfig={credentials}"),
        "--bind-address=127.0.0.1".to_owned(),
        // There is one of each.
        "--leader-elect=false".to_owned(),
    ]
}

/// Waits until the API server is ready.
///
/// # Errors
/// When a component has ended, or time is up.
pub(crate) fn wait_until_ready() -> Result<()> {
    let logs = ["etcd", APISERVER].map(str::to_owned);
    wait::until("the API server is ready", API_LIMIT, &logs, || {
        check_components()?;
        Ok(match kubectl::ask(&["get", "--raw", "/readyz"]) {
            Ok(_) => Seen::Yes,
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
}

/// # Errors
/// When a component isn't running.
pub(crate) fn check_components() -> Result<()> {
    for name in COMPONENTS {
        if process::find(name).is_none() {
            bail!("{name} has ended; see {}", place::log(name).display());
        }
    }
    Ok(())
}

/// Ends the API server and starts it again.
///
/// # Errors
/// When it doesn't end, or doesn't become ready.
pub(crate) fn restart_apiserver() -> Result<()> {
    restart(APISERVER)?;
    wait_until_ready()
}
