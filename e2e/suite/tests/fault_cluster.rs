//! What goes wrong with a cluster while a model is asked and changed. Every request is answered,
//! and in the end all is as the spec says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chandler_crds::names::labels;
use chandler_e2e_suite::{SYSTEM, Served, eventually, in_space, kubectl, operator, xtask};
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

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_serving_pod_is_killed() {
    in_space("podkill", async |space| {
        let served = Served::new(&space, 2).await?;
        let load = served.load();
        let pod = a_pod(&served).await?.name_any();
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
        let replaced = async || {
            let pods = space.api::<Pod>().get_opt(&pod).await.ok()?;
            pods.is_none().then_some(())
        };
        eventually("gone", replaced).await?;
        served.wait_ready().await?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_leader_is_killed_and_the_standby_takes_over() {
    in_space("leader", async |space| {
        let served = Served::new(&space, 1).await?;
        let load = served.load();
        let leader = operator::leader(&space.client).await?;
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
        let next = operator::leader(&space.client).await?;
        ensure!(next != leader, "{leader} is gone and still leads");
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_api_server_restarts() {
    in_space("apirestart", async |space| {
        let served = Served::new(&space, 1).await?;
        let load = served.load();
        served.change(101).await?;
        xtask(&["cluster", "fault", "api-restart"])?;
        served.wait_ready().await?;
        served.change(102).await?;
        served.wait_ready().await?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn etcd_is_slow() {
    in_space("slowetcd", async |space| {
        let served = Served::new(&space, 1).await?;
        let load = served.load();
        xtask(&["cluster", "fault", "etcd-delay", "200"])?;
        let changed = async {
            served.change(101).await?;
            served.wait_ready().await
        };
        let changed = changed.await;
        xtask(&["cluster", "fault", "etcd-delay", "0"])?;
        changed?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_kubelet_stops_for_a_minute() {
    in_space("kubelet", async |space| {
        let served = Served::new(&space, 2).await?;
        let load = served.load();
        let node = a_pod(&served).await?.spec.and_then(|spec| spec.node_name);
        let number = node
            .context("the pod's node")?
            .trim_start_matches('n')
            .to_owned();
        xtask(&["cluster", "fault", "kubelet-stop", &number])?;
        // How long the fault lasts; nothing is waited for.
        tokio::time::sleep(Duration::from_secs(60)).await;
        xtask(&["cluster", "fault", "kubelet-start", &number])?;
        served.change(101).await?;
        served.wait_ready().await?;
        load.stop().await.assert_answered_or_told();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_is_drained() {
    in_space("drain", async |space| {
        let served = Served::new(&space, 2).await?;
        let load = served.load();
        let node = a_pod(&served).await?.spec.and_then(|spec| spec.node_name);
        let node = node.context("the pod's node")?;
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
        settled?;
        load.stop().await.assert_answered_or_told();
        Ok(())
    })
    .await;
}
