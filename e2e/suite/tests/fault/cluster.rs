//! What goes wrong with a cluster while a model is asked and changed. Every request is answered,
//! and in the end all is as the spec says.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chandler_e2e_suite::{
    Fault, SYSTEM, Served, Space, alone_in_space, eventually, fewest_ready, kill, kubectl,
    operator, replicas, until, xtask,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tokio::task::spawn_blocking;

/// Requests that are answered before a fault, and again after it.
const SOME: usize = 10;

/// Asks the model while `fault` befalls it or its cluster. In the end it must be as its spec says
/// and nobody must have been refused.
async fn befall(served: &Served, fault: impl AsyncFnOnce(&Served) -> Result<()>) -> Result<()> {
    let load = served.load();
    load.wait_answers(SOME).await?;
    let before = load.answered();
    fault(served).await?;
    let during = load.answered() - before;
    served.wait_settled().await?;
    load.wait_answers(SOME).await?;
    println!("{during} requests answered during the fault");
    ensure!(during > 0, "nobody was answered during the fault");
    load.stop().await.assert_all_answered();
    Ok(())
}

/// The node of a pod.
fn node_of(pod: &Pod) -> Result<String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    node.context("the pod's node")
}

/// The nodes of pods.
fn nodes_of(pods: &[Pod]) -> Result<BTreeSet<String>> {
    pods.iter().map(node_of).collect()
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .as_ref()
        .and_then(|it| it.container_statuses.as_ref());
    containers
        .into_iter()
        .flatten()
        .map(|it| it.restart_count)
        .sum()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_serving_pod_is_killed() {
    alone_in_space("podkill", async |space| {
        let served = Served::new(&space, 2).await?;
        befall(&served, async |served| {
            let (pods, namespace) = (space.api::<Pod>(), space.name.as_str());
            let found = replicas(&space).await?;
            let pod = found.first().context("a replica")?.name_any();
            xtask(&["cluster", "fault", "pod-kill", namespace, &pod])?;
            until(&pods, &pod, "started again", |pod| restarts(pod) > 0).await?;
            served.wait_current().await?;
            kill(&pods, namespace, &pod).await
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_leader_is_killed_and_the_standby_takes_over() {
    alone_in_space("leader", async |space| {
        let served = Served::new(&space, 1).await?;
        befall(&served, async |served| {
            let leader = operator::leader(&space.client).await?;
            let pods = Api::namespaced(space.client.clone(), SYSTEM);
            kill(&pods, SYSTEM, &leader).await?;
            served.change(101).await?;
            served.wait_ready().await?;
            let next = operator::leader(&space.client).await?;
            ensure!(next != leader, "{leader} is gone and still leads");
            Ok(())
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_api_server_restarts() {
    alone_in_space("apirestart", async |space| {
        let served = Served::new(&space, 1).await?;
        befall(&served, async |served| {
            served.change(101).await?;
            xtask(&["cluster", "fault", "api-restart"])?;
            served.wait_ready().await?;
            served.change(102).await.map(drop)
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn etcd_is_slow() {
    alone_in_space("slowetcd", async |space| {
        let served = Served::new(&space, 1).await?;
        befall(&served, async |served| {
            let slow = Fault::slow_etcd(200)?;
            served.change(101).await?;
            served.wait_current().await?;
            slow.end()
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_kubelet_stops_for_a_minute() {
    alone_in_space("kubelet", async |space| {
        gateways_on_two_nodes(&space).await?;
        let served = Served::new(&space, 2).await?;
        befall(&served, async |served| {
            let found = replicas(&space).await?;
            let node = node_of(found.first().context("a replica")?)?;
            let away = Fault::no_kubelet(&node)?;
            served.change(101).await?;
            // How long the fault lasts; nothing is waited for.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let nodes = Api::all(space.client.clone());
            until(&nodes, &node, "missed", |node| !is_ready(node)).await?;
            away.end()
        })
        .await
    })
    .await;
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

/// An earlier drain may have left all gateways on one node, and whoever takes that node takes the
/// door. They prefer to be apart, so one that is made anew goes elsewhere.
async fn gateways_on_two_nodes(space: &Space) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), SYSTEM);
    let gateways = ListParams::default().labels("app.kubernetes.io/component=gateway");
    let found = pods.list(&gateways).await?.items;
    if nodes_of(&found)?.len() > 1 {
        return Ok(());
    }
    let moved = found.first().context("a gateway")?.name_any();
    kubectl(&["delete", "pod", "-n", SYSTEM, &moved])?;
    eventually("on two nodes", async || {
        let found = pods.list(&gateways).await.ok()?.items;
        (nodes_of(&found).ok()?.len() > 1).then_some(())
    })
    .await?;
    let status = [
        "rollout",
        "status",
        "-n",
        SYSTEM,
        "deployment/chandler-gateway",
    ];
    kubectl(&status).map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_is_drained() {
    alone_in_space("drain", async |space| {
        // All replicas on the node that goes: the worst that can be.
        let elsewhere = Fault::cordoned("n2")?;
        let served = Served::new(&space, 2).await?;
        elsewhere.end()?;
        let nodes = nodes_of(&replicas(&space).await?)?;
        ensure!(nodes == BTreeSet::from(["n1".to_owned()]), "on {nodes:?}");
        befall(&served, async |served| {
            let fewest = fewest_ready(&space, drain(served, "n1")).await?;
            ensure!(fewest > 0, "for a while no replica was ready");
            Ok(())
        })
        .await
    })
    .await;
}

/// Drains a node until the model has settled on others, then lets it take pods again.
async fn drain(served: &Served, node: &str) -> Result<()> {
    // A drain begins with it.
    let cordoned = Fault::cordoned(node)?;
    let node = node.to_owned();
    let drained = spawn_blocking(move || {
        kubectl(&[
            "drain",
            &node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=240s",
        ])
    });
    drained.await??;
    served.wait_current().await?;
    let nodes = nodes_of(&replicas(&served.space).await?)?;
    ensure!(
        nodes == BTreeSet::from(["n2".to_owned()]),
        "still on {nodes:?}"
    );
    cordoned.end()
}
