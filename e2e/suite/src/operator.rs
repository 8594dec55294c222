//! The operator's own pods: which leads, and how it is made to fail.

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::{RELEASE, SYSTEM, eventually, kubectl};

/// Exit code of an operator that a failpoint ended.
const FAILPOINT_EXIT: i32 = 70;
/// Name of the operator's Deployment and of its Lease.
const OPERATOR: &str = "chandler-operator";
const PODS: &str = "app.kubernetes.io/component=operator";
const WAIT: &str = "--timeout=300s";

/// Who holds the lease.
///
/// # Errors
/// Nobody does for long.
pub async fn leader(client: &Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    eventually("led", async || {
        let lease = leases.get(OPERATOR).await.ok()?;
        let holder = lease.spec?.holder_identity?;
        (!holder.is_empty()).then_some(holder)
    })
    .await
}

/// Has every operator end itself at a boundary, such as `after:SetTraffic`; `None` has it live.
///
/// # Errors
/// It does not come up so.
pub fn set_failpoint(boundary: Option<&str>) -> Result<()> {
    let variable = match boundary {
        Some(boundary) => format!("CHANDLER_FAILPOINT={boundary}"),
        None => "CHANDLER_FAILPOINT-".to_owned(),
    };
    let deployment = format!("deployment/{RELEASE}-operator");
    kubectl(&["set", "env", "-n", SYSTEM, &deployment, &variable])?;
    // An operator of before could still do what the new one shall die of.
    kubectl(&["rollout", "status", "-n", SYSTEM, &deployment, WAIT]).map(drop)
}

/// Waits until a failpoint has ended an operator.
///
/// # Errors
/// It ends none.
pub async fn wait_failpoint(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let operators = ListParams::default().labels(PODS);
    eventually("ended by the failpoint", async || {
        let pods = pods.list(&operators).await.ok()?;
        pods.items
            .iter()
            .any(|pod| ended(pod).is_some())
            .then_some(())
    })
    .await
    .context("no operator was ended by its failpoint")
}

fn ended(pod: &Pod) -> Option<()> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let states = [&container.state, &container.last_state];
    let mut ends = states
        .into_iter()
        .flatten()
        .filter_map(|it| it.terminated.as_ref());
    ends.any(|end| end.exit_code == FAILPOINT_EXIT)
        .then_some(())
}
