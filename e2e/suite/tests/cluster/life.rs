//! The life of a model: applied, asked, scaled, changed, deleted.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::names::labels;
use chandler_e2e::layout;
use chandler_e2e_suite::{
    EMBEDDINGS, Load, alone_in_space, eventually, gone, in_space, is, kubectl, until,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};

fn spec(served: &str, replicas: u32, more: &str) -> String {
    format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: {replicas}, \
         server: {{drainSeconds: 5, {more}}}}}"
    )
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_samples_serve_the_official_client() {
    alone_in_space("samples", async |space| {
        let samples = layout::root().join("config/samples/cluster");
        kubectl(&[
            "apply",
            "-n",
            &space.name,
            "-f",
            &samples.display().to_string(),
        ])?;
        for name in ["embeddings", "chat"] {
            let model = space.wait_ready(name).await?;
            starts_are_told(&model)?;
        }
        let gateway = space.gateway().await?;
        eventually("known to every gateway", async || {
            gateway.embed("embeddings").await.ok()
        })
        .await?;
        let client = Command::new(layout::client_python()?)
            .arg(layout::root().join("e2e/client/client_test.py"))
            .arg(format!("{}/v1", gateway.base()))
            .output()?;
        println!("{}", String::from_utf8_lossy(&client.stdout));
        ensure!(
            client.status.success(),
            "{}",
            String::from_utf8_lossy(&client.stderr)
        );
        let told = kubectl(&["get", "mdl", "-n", &space.name])?;
        for column in ["READY", "REPLICAS", "REVISION", "MODEL", "1/1", "hf://"] {
            ensure!(told.contains(column), "no {column} in\n{told}");
        }
        let events = kubectl(&["get", "events", "-n", &space.name])?;
        for reason in ["Resolve", "EnsureRevision", "Probe", "SetTraffic"] {
            ensure!(events.contains(reason), "no event {reason} in\n{events}");
        }
        Ok(())
    })
    .await;
}

/// Every step from the pod's creation to its first answer has its time.
fn starts_are_told(model: &ModelDeployment) -> Result<()> {
    let status = model.status.as_ref().context("a status")?;
    let startup = status.revisions.first().and_then(|it| it.startup);
    let startup = startup.context("how it started")?;
    println!("{}: {startup:?}", model.name_any());
    let steps = [
        startup.schedule_ms,
        startup.pull_ms,
        startup.fetch_ms,
        startup.load_ms,
        startup.warm_up_ms,
        startup.first_answer_ms,
    ];
    ensure!(
        steps.iter().all(Option::is_some),
        "a step is missing: {startup:?}"
    );
    ensure!(
        is(model, ConditionType::CapacityAvailable),
        "no capacity is told"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn kubectl_scale_changes_the_count_under_load() {
    in_space("scale", async |space| {
        let served = space.name.clone();
        space.apply_model("m", &spec(&served, 1, "")).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;
        let load = Load::start(&gateway, &served, 2);
        for count in [2, 1] {
            space.scale("m", count)?;
            let settled = |model: &ModelDeployment| {
                let status = model.status.as_ref();
                let counts = status.map(|it| (it.replicas, it.ready_replicas));
                counts == Some((Some(count), Some(count))) && chandler_e2e_suite::ready(model)
            };
            until(&space.models(), "m", "scaled", settled).await?;
        }
        load.stop().await.assert_all_answered();
        space.scale("m", 0)?;
        let asleep = |model: &ModelDeployment| {
            let status = model.status.as_ref();
            status.is_some_and(|it| it.replicas == Some(0))
        };
        until(&space.models(), "m", "asleep", asleep).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_new_revision_takes_over_without_a_failed_request() {
    in_space("rollout", async |space| {
        let served = space.name.clone();
        space.apply_model("m", &spec(&served, 2, "")).await?;
        let before = space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;
        let load = Load::start(&gateway, &served, 3);
        space
            .apply_model("m", &spec(&served, 2, "maxQueue: 17"))
            .await?;
        let after = space.wait_ready("m").await?;
        let (old, new) = (current(&before)?, current(&after)?);
        ensure!(old != new, "the revision is the same: {old}");
        gone(&space.api::<Deployment>(), &format!("m-{old}")).await?;
        let tally = load.stop().await;
        tally.assert_all_answered();
        ensure!(tally.revisions.contains(&old) && tally.revisions.contains(&new));
        Ok(())
    })
    .await;
}

fn current(model: &ModelDeployment) -> Result<String> {
    let status = model.status.as_ref();
    status
        .and_then(|it| it.current_revision.clone())
        .context("a revision")
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn deletion_leaves_nothing_behind() {
    in_space("delete", async |space| {
        space.apply_model("m", &spec(&space.name, 1, "")).await?;
        space.wait_ready("m").await?;
        space.models().delete("m", &DeleteParams::default()).await?;
        gone(&space.models(), "m").await?;
        let of_model = ListParams::default().labels(&format!("{}=m", labels::MODEL));
        eventually("all gone", async || {
            let deployments = space.api::<Deployment>().list(&of_model).await.ok()?;
            let services = space.api::<Service>().list(&of_model).await.ok()?;
            let jobs = space.api::<Job>().list(&of_model).await.ok()?;
            let budgets = space
                .api::<PodDisruptionBudget>()
                .list(&of_model)
                .await
                .ok()?;
            let pods = space.api::<Pod>().list(&of_model).await.ok()?;
            let left = deployments.items.len() + services.items.len() + jobs.items.len();
            (left + budgets.items.len() + pods.items.len() == 0).then_some(())
        })
        .await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_api_server_says_what_to_write_instead() {
    in_space("rules", async |space| {
        let wrong = "{model: {source: hub/name}}";
        let refused = space.apply_model("m", wrong).await;
        let told = format!("{:#}", refused.err().context("a bad source is taken")?);
        ensure!(told.contains("write hf://org/name"), "{told}");
        let both = format!(
            "{{model: {{source: {EMBEDDINGS}}}, replicas: 1, autoscaling: {{maxReplicas: 2}}}}"
        );
        let refused = space.apply_model("m", &both).await;
        let told = format!("{:#}", refused.err().context("both counts are taken")?);
        ensure!(told.contains("either replicas or autoscaling"), "{told}");
        let named = space.apply_model("9th", &spec("x", 1, "")).await;
        let told = format!("{:#}", named.err().context("a bad name is taken")?);
        ensure!(told.contains("a letter first"), "{told}");
        Ok(())
    })
    .await;
}
