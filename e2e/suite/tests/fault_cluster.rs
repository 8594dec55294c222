//! What goes wrong with a cluster while a model is asked and changed. Every request is answered,
//! and in the end all is as the spec says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chandler_crds::names::labels;
use chandler_e2e_suite::{SYSTEM, Served, Tally, eventually, in_space, kubectl, operator, xtask};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

/// A pod of the model.
async fn a_pod(served: &Served) -> Result<Pod> {
    let pods = served.space.api::<Pod>();
    let server = format!("{}={}", labels::COMPONENT, labels::SERVER);
    let found = pods.list(&ListParams::default().labels(&server)).await?;
    found.items.into_iter().next().context("a pod of the model")
}

/// What becomes of the requests to a model while `fault` befalls it or its cluster; in the end the
/// model must be as its spec says.
async fn under_load(
    name: &str,
    replicas: u32,
    fault: impl AsyncFnOnce(&Served) -> Result<()>,
    judge: impl FnOnce(&Tally),
) {
    in_space(name, async |space| {
        let served = Served::new(&space, replicas).await?;
        let load = served.load();
        fault(&served).await?;
        served.wait_ready().await?;
        judge(&load.stop().await);
        Ok(())
    })
    .await;
}

/// The node of a pod of the model.
async fn a_node(served: &Served) -> Result<String> {
    let pod = a_pod(served).await?;
    pod.spec
        .and_then(|spec| spec.node_name)
        .context("the pod's node")
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_serving_pod_is_killed() {
    let kill = async |served: &Served| {
        let space = &served.space;
        let pod = a_pod(served).await?.name_any();
        let kill = [
            "delete",
            "pod",
            "-n",
            &space.name,
            &pod,
            "--grace-period=0",
            "--force",
        ];
        kubectl(&kill)?;
        let gone = async || {
            let found = space.api::<Pod>().get_opt(&pod).await.ok()?;
            found.is_none().then_some(())
        };
        eventually("gone", gone).await
    };
    under_load("podkill", 2, kill, Tally::assert_all_answered).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_leader_is_killed_and_the_standby_takes_over() {
    let kill = async |served: &Served| {
        let client = &served.space.client;
        let leader = operator::leader(client).await?;
        kubectl(&[
            "delete",
            "pod",
            "-n",
            SYSTEM,
            &leader,
            "--grace-period=0",
            "--force",
        ])?;
        served.change(101).await?;
        served.wait_ready().await?;
        let next = operator::leader(client).await?;
        ensure!(next != leader, "{leader} is gone and still leads");
        Ok(())
    };
    under_load("leader", 1, kill, Tally::assert_all_answered).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_api_server_restarts() {
    let restart = async |served: &Served| {
        served.change(101).await?;
        xtask(&["cluster", "fault", "api-restart"])?;
        served.wait_ready().await?;
        served.change(102).await.map(drop)
    };
    under_load("apirestart", 1, restart, Tally::assert_all_answered).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn etcd_is_slow() {
    let slow = async |served: &Served| {
        xtask(&["cluster", "fault", "etcd-delay", "200"])?;
        let changed = async {
            served.change(101).await?;
            served.wait_ready().await
        };
        let changed = changed.await;
        xtask(&["cluster", "fault", "etcd-delay", "0"])?;
        changed.map(drop)
    };
    under_load("slowetcd", 1, slow, Tally::assert_all_answered).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_kubelet_stops_for_a_minute() {
    let stop = async |served: &Served| {
        let node = a_node(served).await?;
        let number = node.trim_start_matches('n');
        xtask(&["cluster", "fault", "kubelet-stop", number])?;
        // How long the fault lasts; nothing is waited for.
        tokio::time::sleep(Duration::from_secs(60)).await;
        xtask(&["cluster", "fault", "kubelet-start", number])?;
        served.change(101).await.map(drop)
    };
    under_load("kubelet", 2, stop, Tally::assert_answered_or_told).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_is_drained() {
    let drain = async |served: &Served| {
        let node = a_node(served).await?;
        let drained = kubectl(&[
            "drain",
            &node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=240s",
        ]);
        let settled = served.wait_ready().await;
        kubectl(&["uncordon", &node])?;
        drained?;
        settled.map(drop)
    };
    under_load("drain", 2, drain, Tally::assert_answered_or_told).await;
}
