//! A model's replicas, followed while something happens.

use std::fmt::Debug;
use std::hash::Hash;

use anyhow::{Result, bail};
use chandler_crds::names::labels;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Resource};
use kube_runtime::reflector::{self, Store};
use kube_runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

use crate::Space;

/// The pods that serve in a namespace, or shall.
///
/// # Errors
/// They can't be listed.
pub async fn replicas(space: &Space) -> Result<Vec<Pod>> {
    let servers = ListParams::default().labels(&servers());
    Ok(space.api().list(&servers).await?.items)
}

/// The fewest replicas that served at a time while `happening` ran.
///
/// # Errors
/// Those of `happening`.
pub async fn fewest_ready(
    space: &Space,
    happening: impl Future<Output = Result<()>>,
) -> Result<usize> {
    let which = watcher::Config::default().labels(&servers());
    fewest(space.api(), which, serving, happening).await
}

/// The fewest replicas that were asked for at a time while `happening` ran.
///
/// # Errors
/// Those of `happening`.
pub async fn fewest_wanted(
    space: &Space,
    happening: impl Future<Output = Result<()>>,
) -> Result<usize> {
    fewest(space.api(), watcher::Config::default(), wanted, happening).await
}

/// The least that `count` gave while `happening` ran.
async fn fewest<K>(
    api: Api<K>,
    which: watcher::Config,
    count: impl Fn(&Store<K>) -> usize,
    happening: impl Future<Output = Result<()>>,
) -> Result<usize>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Default + Eq + Hash + Unpin,
{
    let (known, writer) = reflector::store();
    let changes = watcher(api, which).default_backoff();
    let mut changes = Box::pin(changes.reflect(writer));
    while known.wait_until_ready().now_or_never().is_none() {
        if changes.next().await.is_none() {
            bail!("the replicas can't be watched");
        }
    }
    let mut fewest = count(&known);
    let mut happening = Box::pin(happening);
    loop {
        tokio::select! {
            done = &mut happening => return done.map(|()| fewest),
            Some(_) = changes.next() => fewest = fewest.min(count(&known)),
        }
    }
}

fn servers() -> String {
    format!("{}={}", labels::COMPONENT, labels::SERVER)
}

fn serving(pods: &Store<Pod>) -> usize {
    pods.state().iter().filter(|pod| serves(pod)).count()
}

/// Whether new requests go to it.
fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let is_ready = conditions
        .into_iter()
        .flatten()
        .any(|it| it.type_ == "Ready" && it.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

fn wanted(deployments: &Store<Deployment>) -> usize {
    let all = deployments.state();
    let counts = all.iter().filter_map(|it| it.spec.replicas);
    counts.filter_map(|count| usize::try_from(count).ok()).sum()
}
