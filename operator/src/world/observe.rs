//! What there is of a model in the cluster, and what that comes to.

use std::collections::BTreeMap;

use chandler_core::load::Trail;
use chandler_core::snapshot::{RevisionSeen, Snapshot};
use chandler_crds::names::labels;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use super::api::Cluster;
use super::error::WorldError;
use super::failure;
use super::owner::{Owner, controller, label, replicas_of};
use crate::render::{revision_name, weights_of};

/// The objects of one model that count.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// By revision. One that is being deleted is none.
    pub(super) deployments: BTreeMap<String, Deployment>,
    /// The headless ones, by revision.
    pub(super) headless: BTreeMap<String, Service>,
    /// By revision.
    pub(super) budgets: BTreeMap<String, PodDisruptionBudget>,
    /// The one under the model's name.
    pub(super) stable: Option<Service>,
    /// Replicas, by revision.
    pub(super) pods: BTreeMap<String, Vec<Pod>>,
}

/// Lists what carries the model's label.
pub(super) async fn objects(cluster: &Cluster, owner: &Owner) -> Result<Objects, WorldError> {
    let selector = format!("{}={}", labels::MODEL, owner.name);
    // Deployments last: a pod or a Service that is missing from an earlier list may belong to a
    // revision made in between, and the change wakes the next look.
    let pods = cluster.list(&replicas_of(&owner.name)).await?;
    let services = cluster.list(&selector).await?;
    let budgets = cluster.list(&selector).await?;
    let deployments = cluster.list(&selector).await?;
    sort(owner, deployments, services, budgets, pods)
}

/// Keeps what is the model's own.
///
/// # Errors
/// Something of someone else has a name that the model needs.
pub(super) fn sort(
    owner: &Owner,
    deployments: Vec<Deployment>,
    services: Vec<Service>,
    budgets: Vec<PodDisruptionBudget>,
    pods: Vec<Pod>,
) -> Result<Objects, WorldError> {
    let mut objects = Objects::default();
    for deployment in deployments {
        if let Some(revision) = revision_of(owner, &deployment)? {
            objects.deployments.insert(revision, deployment);
        }
    }
    for service in services {
        if service.metadata.name.as_deref() == Some(&owner.name) {
            owner.claim(Service::kind(&()), &service.metadata)?;
            objects.stable = Some(service);
        } else if let Some(revision) = revision_of(owner, &service)? {
            objects.headless.insert(revision, service);
        }
    }
    for budget in budgets {
        if let Some(revision) = revision_of(owner, &budget)? {
            objects.budgets.insert(revision, budget);
        }
    }
    for pod in pods {
        if let Some(revision) = replica_of(&owner.name, &pod.metadata) {
            objects.pods.entry(revision).or_default().push(pod);
        }
    }
    Ok(objects)
}

/// The revision whose object this is. Objects under other names than ours are nobody's concern,
/// whatever their labels.
fn revision_of<K>(owner: &Owner, object: &K) -> Result<Option<String>, WorldError>
where
    K: Resource<DynamicType = ()>,
{
    let meta = object.meta();
    let Some(revision) = label(meta, labels::REVISION) else {
        return Ok(None);
    };
    if meta.name.as_deref() != Some(&revision_name(&owner.name, revision)) {
        return Ok(None);
    }
    owner.claim(K::kind(&()), meta)?;
    let stays = meta.deletion_timestamp.is_none();
    Ok(stays.then(|| revision.to_owned()))
}

/// The revision that a pod is a replica of: its ReplicaSet bears its Deployment's name.
pub(super) fn replica_of(model: &str, pod: &ObjectMeta) -> Option<String> {
    let revision = label(pod, labels::REVISION)?;
    let template = label(pod, labels::POD_TEMPLATE_HASH)?;
    let set = format!("{}-{template}", revision_name(model, revision));
    (controller(pod)?.name == set).then(|| revision.to_owned())
}

/// The objects in the terms that decisions are made in. Whether anything has drifted takes more
/// than looking, see [`super::drift`]; what is told of requests, see [`super::idle`].
pub(super) fn snapshot(objects: &Objects) -> Snapshot {
    let nothing = Vec::new();
    let revisions = objects.deployments.iter().map(|(revision, deployment)| {
        let pods = objects.pods.get(revision).unwrap_or(&nothing);
        (revision.clone(), seen(deployment, pods))
    });
    Snapshot {
        revisions: revisions.collect(),
        weights: objects.stable.as_ref().map(weights_of).unwrap_or_default(),
        gateways: None,
        trail: Trail::default(),
        trial: None,
        untold: None,
        room: None,
    }
}

fn seen(deployment: &Deployment, pods: &[Pod]) -> RevisionSeen {
    let ready = pods.iter().filter(|pod| serves(pod)).count();
    RevisionSeen {
        desired: desired(deployment),
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        in_flight: None,
        idle: None,
        load: None,
        drifted: false,
        failure: failure::of_revision(deployment, pods),
    }
}

/// Replicas that a Deployment is asked for; 1 is what the API makes of none.
pub(super) fn desired(deployment: &Deployment) -> u32 {
    u32::try_from(deployment.spec.replicas.unwrap_or(1)).unwrap_or(0)
}

/// Whether a pod takes requests: one that is on its way out is ready no more.
pub(super) fn serves(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && failure::condition(pod, "Ready") == Some(true)
}
