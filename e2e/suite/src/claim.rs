//! Claims on folders that all nodes of the tests' cluster see.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use crate::{Space, until};

/// A claim of a test's namespace, and the volume behind it.
#[derive(Debug)]
pub struct Claim {
    volumes: Api<PersistentVolume>,
    volume: String,
}

impl Claim {
    /// A claim on a folder of this machine, to be mounted as `mode` says, such as `ReadOnlyMany`. It
    /// is bound: a pod that the scheduler meets with a claim that is not may wait five minutes for
    /// its next turn.
    ///
    /// # Errors
    /// What the API server refuses; it is not bound in time.
    pub async fn new(space: &Space, name: &str, folder: &Path, mode: &str) -> Result<Self> {
        let claim = Self {
            volumes: Api::all(space.client.clone()),
            volume: space.name.clone(),
        };
        let volume = claim.volume_of(space, name, folder, mode);
        claim
            .volumes
            .create(&PostParams::default(), &volume)
            .await?;
        let is_known = |volume: &PersistentVolume| {
            let status = volume.status.as_ref();
            status.and_then(|it| it.phase.as_deref()) == Some("Available")
        };
        until(&claim.volumes, &claim.volume, "available", is_known).await?;
        space.apply(&claim.claim_of(name, mode)).await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(space.client.clone(), &space.name);
        let is_bound = |claim: &PersistentVolumeClaim| {
            let status = claim.status.as_ref();
            status.and_then(|it| it.phase.as_deref()) == Some("Bound")
        };
        until(&claims, name, "bound", is_bound).await?;
        Ok(claim)
    }

    /// Volumes have no namespace to go with.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn remove(self) -> Result<()> {
        let how = DeleteParams::default();
        self.volumes.delete(&self.volume, &how).await?;
        Ok(())
    }

    fn volume_of(&self, space: &Space, name: &str, folder: &Path, mode: &str) -> PersistentVolume {
        let claim = ObjectReference {
            namespace: Some(space.name.clone()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        PersistentVolume {
            metadata: named(&self.volume),
            spec: Some(PersistentVolumeSpec {
                access_modes: Some(vec![mode.to_owned()]),
                capacity: size(),
                claim_ref: Some(claim),
                host_path: Some(HostPathVolumeSource {
                    path: folder.display().to_string(),
                    type_: None,
                }),
                ..PersistentVolumeSpec::default()
            }),
            ..PersistentVolume::default()
        }
    }

    fn claim_of(&self, name: &str, mode: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: named(name),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec![mode.to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: size(),
                    limits: None,
                }),
                storage_class_name: Some(String::new()),
                volume_name: Some(self.volume.clone()),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        }
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn size() -> Option<BTreeMap<String, Quantity>> {
    Some([("storage".to_owned(), Quantity("1Gi".to_owned()))].into())
}
