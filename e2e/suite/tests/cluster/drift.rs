//! What someone else does to a model's objects: ours is mended, theirs is left alone.

use anyhow::{Context, Result, ensure};
use chandler_e2e_suite::{EMBEDDINGS, Space, eventually, in_space, kubectl, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;

/// A model with one replica; gives the name of its Deployment.
async fn serve(space: &Space) -> Result<String> {
    let served = &space.name;
    let spec = format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, server: {{drainSeconds: 1}}}}"
    );
    space.apply_model("m", &spec).await?;
    let model = space.wait_ready("m").await?;
    let revision = model.status.and_then(|it| it.current_revision);
    Ok(format!("m-{}", revision.context("a revision")?))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_edited_child_is_mended_and_a_foreign_annotation_stays() {
    in_space("drift", async |space| {
        let name = serve(&space).await?;
        let deployment = format!("deployment/{name}");
        let namespace = space.name.as_str();
        kubectl(&[
            "annotate",
            "-n",
            namespace,
            &deployment,
            "example.com/owner=platform",
        ])?;
        kubectl(&["set", "env", "-n", namespace, &deployment, "INTRUDER=1"])?;
        kubectl(&[
            "set",
            "image",
            "-n",
            namespace,
            &deployment,
            "server=example.com/other:1",
        ])?;
        let mended = |deployment: &Deployment| {
            let image = server_image(deployment);
            image.is_some_and(|image| image.contains("chandler-server"))
        };
        let after = until(&space.api(), &name, "mended", mended).await?;
        let owner = after.annotations().get("example.com/owner");
        ensure!(
            owner.map(String::as_str) == Some("platform"),
            "the annotation is gone"
        );
        kubectl(&["scale", "-n", namespace, &deployment, "--replicas=3"])?;
        let counted = |deployment: &Deployment| deployment.spec.replicas == Some(1);
        until(&space.api(), &name, "scaled back", counted).await?;
        space.wait_ready("m").await?;
        Ok(())
    })
    .await;
}

fn server_image(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_deleted_child_comes_back() {
    in_space("deleted", async |space| {
        let name = serve(&space).await?;
        let services = space.api::<Service>();
        for service in [name.as_str(), "m"] {
            let before = services.get(service).await?.uid();
            services.delete(service, &DeleteParams::default()).await?;
            let back = |service: &Service| service.uid() != before;
            until(&services, service, "made again", back).await?;
        }
        let budgets = space.api::<PodDisruptionBudget>();
        let before = budgets.get(&name).await?.uid();
        budgets.delete(&name, &DeleteParams::default()).await?;
        let back = |budget: &PodDisruptionBudget| budget.uid() != before;
        until(&budgets, &name, "made again", back).await?;
        let deployments = space.api::<Deployment>();
        let before = deployments.get(&name).await?.uid();
        deployments.delete(&name, &DeleteParams::default()).await?;
        let back = |deployment: &Deployment| deployment.uid() != before;
        until(&deployments, &name, "made again", back).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("served again", async || {
            gateway.embed(&space.name).await.ok()
        })
        .await?;
        Ok(())
    })
    .await;
}
