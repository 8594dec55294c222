//! Load that rises brings replicas, load that falls takes them away again, and every request is
//! answered meanwhile.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_e2e_suite::{EMBEDDINGS, Load, condition, eventually, in_space, until};

/// Callers who ask again as soon as they are answered.
const MANY: usize = 8;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn replicas_follow_the_load_up_and_down() {
    in_space("scale", async |space| {
        let served = space.name.clone();
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, \
             autoscaling: {{maxReplicas: 2, targets: {{concurrency: 2}}, \
             behavior: {{scaleDown: {{stabilization: 10s}}}}}}}}"
        );
        space.apply_model("m", &spec).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;

        let load = Load::start(&gateway, &served, MANY);
        let risen = until(&space.models(), "m", "two replicas", |model| has(model, 2)).await?;
        follows(&risen)?;
        load.stop().await.assert_all_answered();

        let load = Load::start(&gateway, &served, 1);
        let fallen = until(&space.models(), "m", "one replica", |model| has(model, 1)).await?;
        follows(&fallen)?;
        load.stop().await.assert_all_answered();

        let told = decisions(&fallen)?;
        ensure!(told == [(1, 2), (2, 1)], "{told:?}");
        Ok(())
    })
    .await;
}

fn has(model: &ModelDeployment, replicas: i32) -> bool {
    let status = model.status.as_ref();
    status.is_some_and(|it| it.replicas == Some(replicas) && it.ready_replicas == Some(replicas))
}

fn follows(model: &ModelDeployment) -> Result<()> {
    let told = condition(model, ConditionType::ScalingActive);
    let told = told.context("whether the count follows the load is not told")?;
    ensure!(
        told.status == "True" && told.reason == "Following",
        "{told:?}"
    );
    Ok(())
}

/// The changes of the count, each with a reason.
fn decisions(model: &ModelDeployment) -> Result<Vec<(i32, i32)>> {
    let status = model.status.as_ref().context("no status")?;
    let scaling = status
        .scaling
        .as_ref()
        .context("nothing is told of scaling")?;
    ensure!(
        scaling.decisions.iter().all(|it| !it.why.is_empty()),
        "{scaling:?}"
    );
    Ok(scaling
        .decisions
        .iter()
        .map(|it| (it.from, it.to))
        .collect())
}
