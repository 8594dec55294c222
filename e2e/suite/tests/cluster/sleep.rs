//! A model that nobody asks for goes to no replica, and the next who ask wake it once.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_e2e_suite::{
    EMBEDDINGS, Gateway, Space, condition, eventually, in_space, is, replicas, until,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use tokio::task::JoinSet;

/// Callers who wait at once.
const HERD: usize = 20;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_idle_model_sleeps_and_a_herd_wakes_it_once() {
    in_space("sleep", async |space| {
        let served = space.name.clone();
        // On a slow machine a herd may rightly be followed by a second replica, soon after the first
        // woke; here only the waking counts.
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, \
             autoscaling: {{minReplicas: 0, maxReplicas: 4, idleAfter: 15s, \
             behavior: {{scaleUp: {{stabilization: 2m}}}}}}, \
             server: {{drainSeconds: 2}}}}"
        );
        space.apply_model("m", &spec).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;
        let asleep = until(&space.models(), "m", "asleep", asleep).await?;
        let access = condition(&asleep, ConditionType::AccessRestricted);
        let access = access.context("who may ask is not told")?;
        ensure!(
            access.status == "False" && access.reason == "NoApiKey",
            "{access:?}"
        );
        eventually("without a pod", async || {
            replicas(&space).await.ok()?.is_empty().then_some(())
        })
        .await?;

        herd(&gateway, &served).await?;
        ensure!(
            replicas(&space).await?.len() == 1,
            "more than one pod was woken"
        );
        ensure!(
            counts(&space).await? == [Some(1)],
            "{:?}",
            counts(&space).await?
        );
        space.wait_ready("m").await?;
        until(&space.models(), "m", "asleep again", self::asleep).await?;
        Ok(())
    })
    .await;
}

fn asleep(model: &ModelDeployment) -> bool {
    let ready = condition(model, ConditionType::Ready);
    let rests = ready.is_some_and(|it| it.status == "True" && it.reason == "ScaledToZero");
    let status = model.status.as_ref();
    let none = status.is_some_and(|it| it.replicas == Some(0));
    rests && none && !is(model, ConditionType::Reconciling)
}

/// All ask at once, and each is answered.
async fn herd(gateway: &Gateway, model: &str) -> Result<()> {
    let mut callers = JoinSet::new();
    for _ in 0..HERD {
        let (gateway, model) = (gateway.clone(), model.to_owned());
        callers.spawn(async move { gateway.embed(&model).await });
    }
    for answer in callers.join_all().await {
        answer.context("one who waited was not answered")?;
    }
    Ok(())
}

/// Replicas that each Deployment asks for.
async fn counts(space: &Space) -> Result<Vec<Option<i32>>> {
    let found = space
        .api::<Deployment>()
        .list(&ListParams::default())
        .await?;
    let specs = found.items.into_iter();
    Ok(specs.map(|deployment| deployment.spec.replicas).collect())
}
