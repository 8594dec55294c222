//! A model's replicas, followed while something happens.

use anyhow::{Result, bail};
use chandler_crds::names::labels;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube_runtime::reflector::{self, Store};
use kube_runtime::{WatchStreamExt, watcher};

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
    let (known, writer) = reflector::store();
    let config = watcher::Config::default().labels(&servers());
    let changes = watcher(space.api::<Pod>(), config).default_backoff();
    let mut changes = Box::pin(changes.reflect(writer));
    while known.wait_until_ready().now_or_never().is_none() {
        if changes.next().await.is_none() {
            bail!("the pods can't be watched");
        }
    }
    let mut fewest = serving(&known);
    let mut happening = Box::pin(happening);
    loop {
        tokio::select! {
            done = &mut happening => return done.map(|()| fewest),
            Some(_) = changes.next() => fewest = fewest.min(serving(&known)),
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
