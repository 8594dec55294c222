//! Devices that nodes offer one by one. The cluster's are none, so what asks for them computes on
//! the CPU; where it is placed, and what is told when there are too few, is as with real ones.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::names::containers;
use chandler_e2e_suite::{
    EMBEDDINGS, Space, alone_in_space, condition, eventually, is, replicas, until,
};
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

const GPU: &str = "nvidia.com/gpu";

/// Applies a model of which each replica takes one.
async fn apply(space: &Space, name: &str, replicas: usize) -> Result<ModelDeployment> {
    let served = format!("{}-{name}", space.name);
    let spec = format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: {replicas}, \
         server: {{drainSeconds: 1, resources: {{limits: {{{GPU}: 1}}}}}}}}"
    );
    space.apply_model(name, &spec).await
}

/// The nodes, each of which must offer one.
async fn nodes(space: &Space) -> Result<BTreeSet<String>> {
    let nodes: Api<Node> = Api::all(space.client.clone());
    let nodes = nodes.list(&ListParams::default()).await?.items;
    for node in &nodes {
        let offered = node.status.as_ref().and_then(|it| it.allocatable.as_ref());
        let offered = offered.and_then(|all| all.get(GPU)).map(|it| it.0.as_str());
        ensure!(
            offered == Some("1"),
            "{} offers {offered:?}",
            node.name_any()
        );
    }
    Ok(nodes.iter().map(ResourceExt::name_any).collect())
}

/// What a container asks for of it.
fn asked(containers: &[Container], name: &str) -> Option<String> {
    let container = containers.iter().find(|it| it.name == name)?;
    let requests = container.resources.as_ref()?.requests.as_ref()?;
    requests.get(GPU).map(|it| it.0.clone())
}

/// The server asks for one, and what fetches its files for none. Gives the pod's node.
fn placed(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref().context("a spec")?;
    let served = asked(&spec.containers, containers::SERVER);
    ensure!(
        served.as_deref() == Some("1"),
        "the server asks for {served:?}"
    );
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let fetched = asked(init, containers::FETCH);
    ensure!(fetched.is_none(), "the fetch asks for {fetched:?}");
    spec.node_name.clone().context("no node")
}

/// Nodes have no room for all replicas, and that is told.
async fn wait_short(space: &Space, name: &str, nodes: usize) -> Result<ModelDeployment> {
    let words = [
        &*format!("0/{nodes} nodes"),
        &format!("{nodes} Insufficient {GPU}"),
    ];
    let kind = ConditionType::CapacityAvailable;
    let model = space.wait_told(name, kind, "Unschedulable", &words).await?;
    let told = condition(&model, kind).context("a condition")?;
    ensure!(told.status == "False", "{told:?}");
    ensure!(!is(&model, ConditionType::Stalled), "room may yet come");
    Ok(model)
}

fn ready_replicas(model: &ModelDeployment) -> Option<i32> {
    model.status.as_ref().and_then(|it| it.ready_replicas)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn each_replica_has_one_and_the_others_wait_for_room() {
    alone_in_space("gpus", async |space| {
        let nodes = nodes(&space).await?;
        let (count, ready) = (nodes.len(), i32::try_from(nodes.len())?);
        apply(&space, "first", count).await?;
        space.wait_ready("first").await?;
        let taken: Result<BTreeSet<_>> = replicas(&space).await?.iter().map(placed).collect();
        ensure!(taken? == nodes, "not one on each of {nodes:?}");

        space.scale("first", count + 1)?;
        let model = wait_short(&space, "first", count).await?;
        ensure!(ready_replicas(&model) == Some(ready), "fewer serve now");
        ensure!(is(&model, ConditionType::Ready), "it answers as before");
        apply(&space, "first", 1).await?;
        let has_room = |model: &ModelDeployment| {
            ready_replicas(model) == Some(1) && is(model, ConditionType::CapacityAvailable)
        };
        until(&space.models(), "first", "of one replica", has_room).await?;

        apply(&space, "second", count).await?;
        let waits = wait_short(&space, "second", count).await?;
        ensure!(is(&waits, ConditionType::Reconciling));
        let first = DeleteParams::default();
        space.models().delete("first", &first).await?;
        // Nobody touches the second one: it goes on when the node is free.
        let model = space.wait_ready("second").await?;
        ensure!(model.metadata.generation == waits.metadata.generation);
        ensure!(is(&model, ConditionType::CapacityAvailable));
        let (gateway, served) = (space.gateway().await?, format!("{}-second", space.name));
        eventually("answered", async || gateway.embed(&served).await.ok()).await?;
        Ok(())
    })
    .await;
}
