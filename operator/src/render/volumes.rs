//! What is mounted into a pod, and the environment that tells where.

use std::collections::BTreeMap;

use chandler_crds::names::{env, mounts};
use chandler_crds::spec::{CacheKind, Model};
use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount,
};

use super::Site;

/// What stands before the claim's name in a source on a claim.
const CLAIM_SCHEME: &str = "pvc://";

/// The claim of a `pvc://claim/path` source.
pub(super) fn claim_of(source: &str) -> Option<&str> {
    source.strip_prefix(CLAIM_SCHEME)?.split('/').next()
}

/// Volumes of a pod that reads `model`.
pub(super) fn volumes(model: &Model, site: &Site) -> Vec<Volume> {
    let mut all = vec![cache(model, site), empty(mounts::TMP_VOLUME)];
    if let Some(name) = claim_of(&model.source) {
        all.push(claim(mounts::CLAIM_VOLUME, name, true));
    }
    if let Some(secret) = &model.credentials_secret_ref {
        all.push(Volume {
            name: mounts::CREDENTIALS_VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    all
}

/// Where each of them is mounted. The server gets the credentials as well as the container that
/// fetches: one that starts again runs alone, and mends a damaged file by fetching it again.
pub(super) fn volume_mounts(model: &Model) -> Vec<VolumeMount> {
    let mut all = vec![
        mount(mounts::MODELS_VOLUME, mounts::MODELS, false),
        mount(mounts::TMP_VOLUME, mounts::TMP, false),
    ];
    if claim_of(&model.source).is_some() {
        all.push(mount(mounts::CLAIM_VOLUME, mounts::CLAIM, true));
    }
    if model.credentials_secret_ref.is_some() {
        all.push(mount(mounts::CREDENTIALS_VOLUME, mounts::CREDENTIALS, true));
    }
    all
}

/// The environment that goes with the mounts.
pub(super) fn environment(model: &Model) -> BTreeMap<String, String> {
    let claim = claim_of(&model.source).map(|_| (env::CLAIM, mounts::CLAIM));
    let secret = model.credentials_secret_ref.as_ref();
    let secret = secret.map(|_| (env::CREDENTIALS, mounts::CREDENTIALS));
    let all = claim.into_iter().chain(secret);
    all.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn cache(model: &Model, site: &Site) -> Volume {
    let cache = model.cache.clone().unwrap_or_default();
    match cache.kind {
        CacheKind::EmptyDir => empty(mounts::MODELS_VOLUME),
        // A claim without a name is refused by the API server, in words.
        CacheKind::PersistentVolumeClaim => claim(
            mounts::MODELS_VOLUME,
            cache.claim_name.as_deref().unwrap_or_default(),
            false,
        ),
        CacheKind::Node => Volume {
            name: mounts::MODELS_VOLUME.to_owned(),
            host_path: Some(HostPathVolumeSource {
                path: site.node_cache.clone(),
                // A folder that the kubelet had to make belongs to root, and the worker then
                // tells that it can't write there. With `Directory` the pod would hang, and its
                // status would not tell why.
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            ..Volume::default()
        },
    }
}

fn empty(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

fn claim(volume: &str, name: &str, read_only: bool) -> Volume {
    Volume {
        name: volume.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: name.to_owned(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
