//! Where a cluster's models come from beside a hub.

use anyhow::ensure;
use chandler_crds::conditions::ConditionType;
use chandler_e2e::layout;
use chandler_e2e_suite::{Claim, condition, eventually, in_space, until};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_claim_holds_the_model() {
    in_space("claim", async |space| {
        let folder = layout::model(layout::EMBEDDING_MODEL)?;
        let claim = Claim::new(&space, "models", &folder, "ReadOnlyMany").await?;
        let served = &space.name;
        let spec = format!("{{model: {{source: 'pvc://models', servedName: {served}}}}}");
        space.apply_model("m", &spec).await?;
        let model = space.wait_ready("m").await?;
        let locked = model.status.as_ref().and_then(|it| it.revisions.first());
        ensure!(
            locked.is_some_and(|it| it.lock.is_some()),
            "nothing is locked"
        );
        let gateway = space.gateway().await?;
        eventually("answered", async || gateway.embed(served).await.ok()).await?;
        claim.remove().await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_file_of_one_machine_is_refused_with_what_to_write() {
    in_space("file", async |space| {
        space
            .apply_model("m", "{model: {source: 'file:///models/a'}}")
            .await?;
        let told = |model: &chandler_crds::ModelDeployment| {
            let resolved = condition(model, ConditionType::ModelResolved);
            resolved.is_some_and(|it| it.status == "False" && it.message.contains("pvc://"))
        };
        until(&space.models(), "m", "refused", told).await?;
        Ok(())
    })
    .await;
}
