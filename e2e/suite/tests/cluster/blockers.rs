//! What holds a model up is named in its status.

use anyhow::{Context, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_e2e_suite::{EMBEDDINGS, condition, in_space, is, ready, until};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn no_node_with_a_gpu() {
    in_space("nogpu", async |space| {
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}}}, \
             server: {{resources: {{limits: {{nvidia.com/gpu: 64}}}}}}}}"
        );
        space.apply_model("m", &spec).await?;
        let words = ["Insufficient nvidia.com/gpu"];
        let kind = ConditionType::CapacityAvailable;
        let model = space.wait_told("m", kind, "Unschedulable", &words).await?;
        ensure!(!is(&model, ConditionType::Stalled), "a node may yet come");
        ensure!(is(&model, ConditionType::Reconciling));
        // Asking for less is a new revision, which finds room.
        space
            .apply_model("m", &format!("{{model: {{source: {EMBEDDINGS}}}}}"))
            .await?;
        space.wait_ready("m").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_image_that_is_not_there() {
    in_space("noimage", async |space| {
        let image = "registry.invalid/none:1";
        let spec = format!("{{model: {{source: {EMBEDDINGS}}}, server: {{image: '{image}'}}}}");
        space.apply_model("m", &spec).await?;
        let named = |model: &ModelDeployment| {
            condition(model, ConditionType::Ready)
                .is_some_and(|it| it.reason.contains("Image") && it.message.contains(image))
        };
        until(&space.models(), "m", "held up by its image", named).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_model_that_no_hub_has() {
    in_space("nomodel", async |space| {
        space
            .apply_model("m", "{model: {source: 'hf://org/missing'}}")
            .await?;
        let words = ["org/missing"];
        let model = space
            .wait_told("m", ConditionType::ModelResolved, "NotFound", &words)
            .await?;
        ensure!(
            is(&model, ConditionType::Stalled),
            "only a person can mend it"
        );
        ensure!(!ready(&model));
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_gated_model_needs_its_secret() {
    in_space("gated", async |space| {
        let spec = "{model: {source: 'hf://org/gated', credentialsSecretRef: {name: hub}}}";
        space
            .apply_model("m", "{model: {source: 'hf://org/gated'}}")
            .await?;
        space
            .wait_told("m", ConditionType::ModelResolved, "Unauthorized", &[])
            .await?;
        let token = [("HF_TOKEN", "open-sesame")];
        space.apply_secret("hub", "Opaque", token).await?;
        space.apply_model("m", spec).await?;
        space.wait_ready("m").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn content_that_is_not_what_was_locked() {
    in_space("corrupt", async |space| {
        space
            .apply_model("m", "{model: {source: 'hf://org/corrupt'}}")
            .await?;
        let words = ["model.safetensors", "SHA-256"];
        space
            .wait_told("m", ConditionType::Ready, "HashMismatch", &words)
            .await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn too_little_memory() {
    in_space("oom", async |space| {
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}}}, \
             server: {{resources: {{limits: {{memory: 80Mi}}}}}}}}"
        );
        space.apply_model("m", &spec).await?;
        space
            .wait_told("m", ConditionType::Ready, "OOMKilled", &["80Mi"])
            .await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_bad_revision_leaves_the_good_one_serving() {
    in_space("badnew", async |space| {
        let served = &space.name;
        let good = format!("{{model: {{source: {EMBEDDINGS}, servedName: {served}}}}}");
        space.apply_model("m", &good).await?;
        space.wait_ready("m").await?;
        let bad = format!("{{model: {{source: 'hf://org/truncated', servedName: {served}}}}}");
        space.apply_model("m", &bad).await?;
        let model = space
            .wait_told("m", ConditionType::Stalled, "WeightsTruncated", &[])
            .await?;
        ensure!(
            is(&model, ConditionType::Stalled),
            "only a person can mend it"
        );
        let gateway = space.gateway().await?;
        let status = model.status.context("a status")?;
        let answer = gateway.embed(served).await?;
        ensure!(Some(answer.revision) == status.current_revision);
        space.apply_model("m", &good).await?;
        space.wait_ready("m").await?;
        Ok(())
    })
    .await;
}
