//! Where a cluster's models come from beside a hub.

use anyhow::{Result, ensure};
use chandler_crds::conditions::ConditionType;
use chandler_e2e::layout;
use chandler_e2e_suite::{Space, condition, eventually, in_space, until};
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

fn sizes() -> Option<std::collections::BTreeMap<String, Quantity>> {
    Some([("storage".to_owned(), Quantity("1Gi".to_owned()))].into())
}

/// A claim named `models` on the folder of the tests' small model.
async fn claim(space: &Space) -> Result<Api<PersistentVolume>> {
    let folder = layout::model(layout::EMBEDDING_MODEL)?;
    let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
    let modes = Some(vec!["ReadOnlyMany".to_owned()]);
    let volume = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(space.name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: modes.clone(),
            capacity: sizes(),
            claim_ref: Some(ObjectReference {
                namespace: Some(space.name.clone()),
                name: Some("models".to_owned()),
                ..ObjectReference::default()
            }),
            host_path: Some(HostPathVolumeSource {
                path: folder.display().to_string(),
                type_: None,
            }),
            ..PersistentVolumeSpec::default()
        }),
        ..PersistentVolume::default()
    };
    volumes.create(&PostParams::default(), &volume).await?;
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("models".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: modes,
            resources: Some(VolumeResourceRequirements {
                requests: sizes(),
                limits: None,
            }),
            storage_class_name: Some(String::new()),
            volume_name: Some(space.name.clone()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    };
    space.apply(&claim).await?;
    Ok(volumes)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_claim_holds_the_model() {
    in_space("claim", async |space| {
        let volumes = claim(&space).await?;
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
        volumes
            .delete(&space.name, &DeleteParams::default())
            .await?;
        Ok(())
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
