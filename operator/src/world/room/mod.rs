//! What room the cluster has for more replicas of the wanted revision: by what its nodes can give, what
//! pods have of it, and the namespace's quotas. Looked at only where a decision goes by it, which is once
//! a rollout of strategy `auto`: nodes and all pods are a long list.
//!
//! What a scheduler knows beyond that is left out: where volumes can be, limits that a namespace sets by
//! default, and pods that would give way. If a replica finds no room after all, its pod tells so and the
//! rollout goes by that.

mod amounts;
mod nodes;
mod quota;

#[cfg(test)]
mod tests;

use chandler_core::rollout::asks_for_room;
use chandler_core::snapshot::RoomSeen;
use chandler_core::validate::Validated;
use chandler_crds::{ModelDeployment, ModelLock};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, ResourceQuota};

use super::ClusterModel;
use super::api::Cluster;
use super::error::WorldError;
use crate::render::{Blueprint, Site, deployment};

/// More than so many are not counted.
const MOST: u32 = 1_000;
/// Pods that have a node and hold what they asked for.
const PLACED: &str = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";

/// The room that a cluster has for more replicas of the revision that `wanted` asks for, as far as
/// the client may know. `object` has its image written out.
///
/// # Errors
/// The API server does not tell.
pub async fn room_for(
    client: kube::Client,
    object: &ModelDeployment,
    wanted: &Validated,
) -> Result<Option<RoomSeen>, WorldError> {
    let cluster = Cluster::new(client, wanted.key.namespace.clone());
    let site = Site::default();
    let blueprint = Blueprint {
        object,
        site: &site,
    };
    // Which files a replica serves makes no difference to where it finds a place.
    match replica(&blueprint, wanted, &ModelLock::default()) {
        Some(pod) => look(&cluster, &pod).await,
        None => Ok(None),
    }
}

fn replica(blueprint: &Blueprint<'_>, wanted: &Validated, lock: &ModelLock) -> Option<PodSpec> {
    let worker = wanted.worker.spec(lock);
    let made = deployment(blueprint, &wanted.revision, &worker, 1);
    made.spec.template.spec
}

/// `None` if the client has no right to look.
async fn look(cluster: &Cluster, pod: &PodSpec) -> Result<Option<RoomSeen>, WorldError> {
    let nodes = cluster.list_all::<Node>("").await;
    let pods = cluster.list_all::<Pod>(PLACED).await;
    let quotas = cluster.list::<ResourceQuota>("").await;
    match (nodes, pods, quotas) {
        (Ok(nodes), Ok(pods), Ok(quotas)) => Ok(Some(room(pod, &nodes, &pods, &quotas))),
        (nodes, pods, quotas) => {
            let failed = [nodes.err(), pods.err(), quotas.err()];
            let mut failed = failed.into_iter().flatten();
            let other = failed.find(|error| !matches!(error, WorldError::Forbidden { .. }));
            other.map_or(Ok(None), Err)
        }
    }
}

impl ClusterModel {
    /// The room that there is, if the next decision goes by it and the operator may know.
    pub(super) async fn room(&self) -> Result<Option<RoomSeen>, WorldError> {
        match self.asked_about() {
            Some(pod) => look(&self.cluster, &pod).await,
            None => Ok(None),
        }
    }

    /// A replica of the wanted revision, if there is a question about its room.
    fn asked_about(&self) -> Option<PodSpec> {
        let wanted = self.wanted.as_ref().filter(|_| self.site.sees_nodes)?;
        let lock = self.memory.lock(&wanted.revision)?;
        if !asks_for_room(wanted, &self.memory) {
            return None;
        }
        replica(&self.blueprint(), wanted, lock)
    }
}

/// How many more such pods find a place: by nodes and by quotas, whichever is fewer.
fn room(pod: &PodSpec, nodes: &[Node], pods: &[Pod], quotas: &[ResourceQuota]) -> RoomSeen {
    let placed = nodes::room(pod, nodes, pods);
    let allowed = quotas.iter().filter_map(|quota| quota::room(pod, quota));
    let all = [placed].into_iter().chain(allowed);
    let least = all.min_by_key(|room| room.replicas).unwrap_or_default();
    RoomSeen {
        replicas: least.replicas.min(MOST),
        ..least
    }
}
