//! New replicas come where there is room for them, and in the places of old ones where there is none;
//! callers notice neither. The cluster's graphics cards are none, but they are counted as real ones.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::spec::Strategy;
use chandler_crds::status::{InPlaceStatus, RolloutPhase, RolloutStatus};
use chandler_e2e_suite::{
    EMBEDDINGS, Load, Space, alone_in_space, chandler, condition, eventually, in_space, until,
};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Node, NodeSpec, ResourceQuota, ResourceQuotaSpec, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};

const GPU: &str = "nvidia.com/gpu";
/// Callers at once.
const CALLERS: usize = 2;
/// Key of the taint of this test.
const TAINT: &str = "chandler.dev/test";

/// A model of which each replica takes a graphics card, and whose revisions differ by their queue's length.
fn spec(space: &Space, replicas: usize, queue: u32, rollout: &str) -> String {
    let served = &space.name;
    format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: {replicas}, \
         server: {{drainSeconds: 2, maxQueue: {queue}, resources: {{limits: {{{GPU}: 1}}}}}}, \
         rollout: {{{rollout}}}}}"
    )
}

async fn apply(space: &Space, replicas: usize, queue: u32, rollout: &str) -> Result<()> {
    let spec = spec(space, replicas, queue, rollout);
    space.apply_model("m", &spec).await.map(drop)
}

/// What `chandler plan` tells of it.
fn planned(space: &Space, replicas: usize, queue: u32, rollout: &str) -> Result<String> {
    let spec = spec(space, replicas, queue, rollout);
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    write!(
        file,
        "{{apiVersion: chandler.dev/v1alpha1, kind: ModelDeployment, \
          metadata: {{name: m, namespace: {}}}, spec: {spec}}}",
        space.name
    )?;
    let path = file.path().to_str().context("a path")?;
    chandler(&["plan", "-f", path])
}

/// The same, ready and under load.
async fn serve(space: &Space, replicas: usize, rollout: &str) -> Result<Load> {
    apply(space, replicas, 100, rollout).await?;
    space.wait_ready("m").await?;
    let gateway = space.gateway().await?;
    eventually("known", async || gateway.embed(&space.name).await.ok()).await?;
    Ok(Load::start(&gateway, &space.name, CALLERS))
}

fn rollout_of(model: &ModelDeployment) -> Option<&RolloutStatus> {
    let told = model.status.as_ref()?.observed_generation;
    let rollout = model.status.as_ref()?.rollout.as_ref();
    rollout.filter(|_| told == model.metadata.generation)
}

async fn until_rollout(
    space: &Space,
    what: &str,
    holds: impl Fn(&RolloutStatus) -> bool,
) -> Result<RolloutStatus> {
    let is_so = |model: &ModelDeployment| rollout_of(model).is_some_and(&holds);
    let model = until(&space.models(), "m", what, is_so).await?;
    rollout_of(&model).cloned().context("a rollout")
}

fn in_place(rollout: &RolloutStatus) -> Option<InPlaceStatus> {
    rollout.plan.as_ref()?.in_place
}

fn message(rollout: &RolloutStatus) -> &str {
    let plan = rollout.plan.as_ref();
    plan.map(|plan| plan.message.as_str()).unwrap_or_default()
}

async fn nodes(space: &Space) -> Result<Vec<Node>> {
    let nodes: Api<Node> = Api::all(space.client.clone());
    Ok(nodes.list(&ListParams::default()).await?.items)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn on_a_full_cluster_one_replica_after_another_is_replaced() {
    alone_in_space("full", async |space| {
        let count = nodes(&space).await?.len();
        ensure!(count > 1, "one at a time needs two");
        let rollout = "steps: [{weight: 50, hold: 5s}], progressDeadline: 3m";
        let load = serve(&space, count, rollout).await?;
        apply(&space, count, 101, rollout).await?;
        let going = until_rollout(&space, "planned", |it| it.plan.is_some()).await?;
        let surge = in_place(&going).map(|it| it.surge);
        ensure!(surge == Some(0), "{going:?}");
        ensure!(going.strategy == Strategy::OneOutFirst, "{going:?}");
        let words = format!("{count} Insufficient {GPU}");
        ensure!(message(&going).contains(&words), "{going:?}");

        // Half-way it is taken back, which is a rollout in place as well.
        let held = |it: &RolloutStatus| it.step == 1 && it.held_since.is_some();
        let half = until_rollout(&space, "half-way", held).await?;
        apply(&space, count, 100, rollout).await?;
        let is_back = |it: &RolloutStatus| {
            Some(&it.revision) == half.from.as_ref() && it.phase == RolloutPhase::Completed
        };
        until_rollout(&space, "taken back", is_back).await?;
        space.wait_ready("m").await?;

        let told = planned(&space, count, 102, rollout)?;
        let before = space.models().get("m").await?;
        apply(&space, count, 102, rollout).await?;
        let going = until_rollout(&space, "planned", |it| it.plan.is_some()).await?;
        for words in [going.revision.as_str(), "oneOutFirst", message(&going)] {
            ensure!(told.contains(words), "{words} is not in {told}");
        }
        ensure!(
            before.metadata.generation == Some(3),
            "the plan changed something"
        );
        let through = |it: &RolloutStatus| it.phase == RolloutPhase::Completed && it.step == 2;
        until_rollout(&space, "through", through).await?;
        let told = chandler(&["rollout", "status", "m", "-n", &space.name])?;
        ensure!(told.contains("Completed: oneOutFirst"), "{told}");
        space.wait_ready("m").await?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

/// Lets a node take no pods that don't tolerate it, or takes that back.
async fn taint(space: &Space, node: &str, taints: bool) -> Result<()> {
    let taint = Taint {
        key: TAINT.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let node = Node {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(if taints { vec![taint] } else { Vec::new() }),
            ..NodeSpec::default()
        }),
        ..Node::default()
    };
    let nodes: Api<Node> = Api::all(space.client.clone());
    let how = PatchParams::apply("chandler-test").force();
    nodes
        .patch(&node.name_any(), &how, &Patch::Apply(&node))
        .await?;
    Ok(())
}

/// With one graphics card in reach and one replica, what is in the way is told, and the replica stays;
/// the rollout goes on once there is room.
async fn the_only_one_stays(space: &Space, others: &[String]) -> Result<()> {
    let load = serve(space, 1, "progressDeadline: 3m").await?;
    for other in others {
        taint(space, other, true).await?;
    }
    apply(space, 1, 101, "progressDeadline: 3m").await?;
    let going = until_rollout(space, "planned", |it| it.plan.is_some()).await?;
    ensure!(in_place(&going).is_none(), "{going:?}");
    for words in ["the only one that serves is not taken away", TAINT] {
        ensure!(
            message(&going).contains(words),
            "{words} is not in {going:?}"
        );
    }
    let kind = ConditionType::CapacityAvailable;
    let model = space
        .wait_told("m", kind, "Unschedulable", &["untolerated taint"])
        .await?;
    ensure!(condition(&model, kind).is_some_and(|it| it.status == "False"));
    load.wait_answers(5).await?;
    for other in others {
        taint(space, other, false).await?;
    }
    let through = |it: &RolloutStatus| it.phase == RolloutPhase::Completed;
    until_rollout(space, "through", through).await?;
    load.stop().await.assert_all_answered();
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn taints_that_leave_no_room_are_told() {
    alone_in_space("taints", async |space| {
        apply(&space, 1, 100, "progressDeadline: 3m").await?;
        space.wait_ready("m").await?;
        let pods = chandler_e2e_suite::replicas(&space).await?;
        let here = pods
            .first()
            .and_then(|pod| pod.spec.as_ref()?.node_name.clone());
        let here = here.context("a placed replica")?;
        let others = nodes(&space).await?;
        let others = others.iter().map(ResourceExt::name_any);
        let others: Vec<String> = others.filter(|name| *name != here).collect();
        let done = AssertUnwindSafe(the_only_one_stays(&space, &others))
            .catch_unwind()
            .await;
        // Whatever came of it, the tests to come need all nodes.
        for other in &others {
            taint(&space, other, false).await?;
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_exhausted_quota_is_told() {
    in_space("quota", async |space| {
        let served = &space.name;
        let spec = |queue: u32| {
            format!(
                "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: 2, \
                 server: {{drainSeconds: 2, maxQueue: {queue}, resources: {{limits: {{memory: 900Mi}}}}}}}}"
            )
        };
        space.apply_model("m", &spec(100)).await?;
        space.wait_ready("m").await?;
        let quota = ResourceQuota {
            metadata: ObjectMeta {
                name: Some("team".to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(ResourceQuotaSpec {
                hard: Some([("limits.memory".to_owned(), Quantity("2400Mi".to_owned()))].into()),
                ..ResourceQuotaSpec::default()
            }),
            ..ResourceQuota::default()
        };
        space.apply(&quota).await?;
        let counted = |quota: &ResourceQuota| {
            let status = quota.status.as_ref();
            status.is_some_and(|it| it.used.as_ref().is_some_and(|used| !used.is_empty()))
        };
        until(&space.api(), "team", "counted", counted).await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(served).await.ok()).await?;
        let load = Load::start(&gateway, served, CALLERS);
        space.apply_model("m", &spec(101)).await?;
        let going = until_rollout(&space, "planned", |it| it.plan.is_some()).await?;
        let words = "quota `team` leaves too little limits.memory";
        ensure!(message(&going).contains(words), "{going:?}");
        ensure!(going.strategy == Strategy::OneOutFirst, "{going:?}");
        let through = |it: &RolloutStatus| it.phase == RolloutPhase::Completed;
        until_rollout(&space, "through", through).await?;
        space.wait_ready("m").await?;
        load.stop().await.assert_all_answered();
        space.api::<ResourceQuota>().delete("team", &DeleteParams::default()).await?;
        Ok(())
    })
    .await;
}
