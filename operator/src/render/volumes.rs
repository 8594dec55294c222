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

/// Volumes of a pod that serves `model`.
pub(super) fn of_server(model: &Model, site: &Site) -> Vec<Volume> {
    volumes(model, cache(model, site))
}

/// Volumes of a pod that resolves the source of `model`. It does without the cache of a node, since
/// it may run on any, also where pods are not let to a folder of their node: that the replicas are
/// not is told of their Deployment, and of a Job it could not be.
pub(super) fn of_resolver(model: &Model, site: &Site) -> Vec<Volume> {
    let cache = match kind(model) {
        CacheKind::Node => empty(mounts::MODELS_VOLUME),
        CacheKind::EmptyDir | CacheKind::PersistentVolumeClaim => cache(model, site),
    };
    volumes(model, cache)
}

fn volumes(model: &Model, cache: Volume) -> Vec<Volume> {
    let mut all = vec![cache, empty(mounts::TMP_VOLUME)];
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

fn kind(model: &Model) -> CacheKind {
    model.cache.as_ref().map(|it| it.kind).unwrap_or_default()
}

fn cache(model: &Model, site: &Site) -> Volume {
    let claim_name = model.cache.as_ref().and_then(|it| it.claim_name.as_deref());
    match kind(model) {
        CacheKind::EmptyDir => empty(mounts::MODELS_VOLUME),
        // A claim without a name is refused by the API server, in words.
        CacheKind::PersistentVolumeClaim => {
            claim(mounts::MODELS_VOLUME, claim_name.unwrap_or_default(), false)
        }
        CacheKind::Node => Volume {
            name: mounts::MODELS_VOLUME.to_owned(),
            host_path: Some(HostPathVolumeSource {
                path: site.node_cache.clone(),
                // One that the kubelet had to make would belong to root, and no replica could
                // write there. A node without the folder lets the pod wait.
                type_: Some("Directory".to_owned()),
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
