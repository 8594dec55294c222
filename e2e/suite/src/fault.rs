//! Faults of the cluster: those that last until they are ended, and the death of a pod.

use std::fmt;

use anyhow::{Context, Result};
use chandler_crds::names::ports;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::{gone, kubectl, xtask};

type End = Box<dyn FnOnce() -> Result<()> + Send>;

/// A fault in force. One that a failing test leaves in force ends with the test, so that the next
/// one finds the cluster whole.
#[must_use = "it ends when it is dropped"]
pub struct Fault(Option<End>);

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault").finish_non_exhaustive()
    }
}

impl Fault {
    /// Each request to etcd takes that much longer.
    ///
    /// # Errors
    /// It can't be made.
    pub fn slow_etcd(milliseconds: u32) -> Result<Self> {
        let delay = |milliseconds: u32| {
            xtask(&["cluster", "fault", "etcd-delay", &milliseconds.to_string()]).map(drop)
        };
        Self::begin(|| delay(milliseconds), move || delay(0))
    }

    /// A node's kubelet is away; its pods go on.
    ///
    /// # Errors
    /// It can't be stopped.
    pub fn no_kubelet(node: &str) -> Result<Self> {
        let number = node.trim_start_matches('n').to_owned();
        let order = |what: &str, number: &str| xtask(&["cluster", "fault", what, number]).map(drop);
        let ended = number.clone();
        Self::begin(
            || order("kubelet-stop", &number),
            move || order("kubelet-start", &ended),
        )
    }

    /// A node takes no new pods.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn cordoned(node: &str) -> Result<Self> {
        let cordoned = || kubectl(&["cordon", node]).map(drop);
        let node = node.to_owned();
        Self::begin(cordoned, move || kubectl(&["uncordon", &node]).map(drop))
    }

    /// No operator outside reaches the replicas in these pods. All else goes on: the gateways and the
    /// kubelets are on the nodes.
    ///
    /// # Errors
    /// It can't be made.
    pub fn scrapes_cut(pods: &[Pod]) -> Result<Self> {
        let ports = pods.iter().map(|pod| {
            let address = pod.status.as_ref().and_then(|it| it.pod_ip.as_ref());
            let address = address.context("a replica without an address")?;
            Ok(format!("{address}:{}", ports::HTTP))
        });
        let ports: Vec<String> = ports.collect::<Result<_>>()?;
        let cut = ["cluster", "fault", "ports-cut"].into_iter();
        let cut: Vec<&str> = cut.chain(ports.iter().map(String::as_str)).collect();
        let mend = || xtask(&["cluster", "fault", "ports-mend"]).map(drop);
        Self::begin(|| xtask(&cut).map(drop), mend)
    }

    /// Any other. What `begin` does in part before it fails is ended too.
    ///
    /// # Errors
    /// Those of `begin`.
    pub fn begin(
        begin: impl FnOnce() -> Result<()>,
        end: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let fault = Self(Some(Box::new(end)));
        begin()?;
        Ok(fault)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It does not end.
    pub fn end(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |end| end())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let Some(end) = self.0.take() else { return };
        match end() {
            Ok(()) => println!("a fault that the test left in force was ended"),
            Err(error) => println!("a fault is still in force: {error:#}"),
        }
    }
}

/// Ends a pod's processes with no warning and deletes the pod before they are started again.
///
/// # Errors
/// It can't be done.
pub async fn kill(pods: &Api<Pod>, namespace: &str, name: &str) -> Result<()> {
    xtask(&["cluster", "fault", "pod-kill", namespace, name])?;
    let delete = ["delete", "pod", "-n", namespace, name, "--grace-period=0"];
    kubectl(&[&delete[..], &["--force"]].concat())?;
    gone(pods, name).await
}
