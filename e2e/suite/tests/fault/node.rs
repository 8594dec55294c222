//! A node is lost in the middle of a rollout.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::names::labels;
use chandler_crds::status::{RolloutPhase, RolloutStatus};
use chandler_e2e_suite::{
    Fault, SYSTEM, Served, alone_in_space, chandler, eventually, gone, kubectl, operator, replicas,
    until, xtask,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// Requests that are answered at each stage.
const SOME: usize = 10;
/// The node that is lost, by name and by number.
const LOST: (&str, &str) = ("n2", "2");

fn rollout_of(model: &ModelDeployment) -> Option<&RolloutStatus> {
    model.status.as_ref()?.rollout.as_ref()
}

fn is_on(pod: &Pod, node: &str) -> bool {
    let at = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    at == Some(node)
}

/// Chandler's own pods that callers and models need, by what they do.
async fn own(client: &Client, component: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let component = format!("{}={component}", labels::COMPONENT);
    let found = pods.list(&ListParams::default().labels(&component)).await?;
    Ok(found.items)
}

/// Makes Chandler's own pods be elsewhere than on a node, and ready: what befalls callers while a gateway is lost is
/// for whoever balances the load between gateways, and not what is tested here.
async fn leave(client: &Client, node: &str) -> Result<()> {
    let closed = Fault::cordoned(node)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    for component in ["gateway", "operator"] {
        for pod in own(client, component).await? {
            if is_on(&pod, node) {
                let name = pod.name_any();
                kubectl(&["delete", "pod", "-n", SYSTEM, &name])?;
                gone(&pods, &name).await?;
            }
        }
        let deployment = format!("deployment/chandler-{component}");
        kubectl(&["rollout", "status", "-n", SYSTEM, &deployment])?;
    }
    closed.end()?;
    operator::leader(client).await.map(drop)
}

/// Cuts a node's power and takes it out of the cluster, as a cloud does that finds the machine gone.
fn lose((name, number): (&'static str, &'static str)) -> Result<Fault> {
    let fault = move |what: &str| xtask(&["cluster", "fault", what, number]).map(drop);
    Fault::begin(
        || {
            fault("node-crash")?;
            kubectl(&["delete", "node", name]).map(drop)
        },
        move || fault("node-start"),
    )
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_is_lost_half_way() {
    alone_in_space("nodelost", async |space| {
        leave(&space.client, LOST.0).await?;
        let served = Served::new(&space, 2).await?;
        let load = served.load();
        load.wait_answers(SOME).await?;
        // The canary on the node that goes: it has half of the traffic and not one replica is left.
        let elsewhere = Fault::cordoned("n1")?;
        let rollout = "steps: [{weight: 50, hold: 1h}]";
        served.change_by(101, rollout).await?;
        let half = |model: &ModelDeployment| {
            let told = model.status.as_ref().and_then(|it| it.observed_generation);
            let rollout = rollout_of(model);
            told == model.metadata.generation
                && rollout.is_some_and(|it| it.step == 1 && it.held_since.is_some())
        };
        let model = until(&space.models(), Served::NAME, "half way", half).await?;
        let half_way = rollout_of(&model).context("a rollout")?;
        let (new, held) = (half_way.revision.clone(), half_way.held_since.clone());
        elsewhere.end()?;
        let there = replicas(&space).await?;
        let of_new = |pod: &&Pod| pod.labels().get(labels::REVISION) == Some(&new);
        let mut canaries = there.iter().filter(of_new);
        ensure!(
            canaries.all(|pod| is_on(pod, LOST.0)),
            "the canary is elsewhere"
        );

        let before = load.answered();
        let lost = lose(LOST)?;
        load.wait_answers(SOME).await?;
        let anew = |model: &ModelDeployment| {
            rollout_of(model).is_some_and(|it| it.held_since.is_some() && it.held_since != held)
        };
        until(&space.models(), Served::NAME, "half way again", anew).await?;
        chandler(&["rollout", "promote", Served::NAME, "-n", &space.name])?;
        let done = |model: &ModelDeployment| {
            rollout_of(model).is_some_and(|it| it.phase == RolloutPhase::Completed)
        };
        until(&space.models(), Served::NAME, "completed", done).await?;
        served.wait_current().await?;
        let left = replicas(&space).await?;
        ensure!(
            left.iter().all(|pod| is_on(pod, "n1")),
            "one is on a node that is gone"
        );
        println!(
            "{} requests answered without the node",
            load.answered() - before
        );

        lost.end()?;
        let nodes: Api<Node> = Api::all(space.client.clone());
        eventually("the node is back", async || nodes.get(LOST.0).await.ok()).await?;
        served.wait_settled().await?;
        load.wait_answers(SOME).await?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}
