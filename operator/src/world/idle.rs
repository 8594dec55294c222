//! What is told of a model's requests: by the gateways, and by the replicas of one that follows its
//! load or may rest, and of a revision on its way out.

use std::net::SocketAddr;
use std::time::Duration;

use chandler_core::snapshot::Snapshot;
use chandler_core::validate::{ModelKey, Validated};
use chandler_probe::{Flight, in_flight, least_idle};
use k8s_openapi::api::core::v1::Pod;

use super::ClusterModel;
use super::observe::{Objects, serves};
use super::probe::address;
use crate::gateways::Gateways;
use crate::scrape::Replica;

/// A replica tells its metrics in milliseconds; the turn waits for the slowest.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// For so long a revision that has no traffic must have had no request before it counts as drained: a gateway that
/// hears of the weights a moment later sends it some until then.
const SETTLED: Duration = Duration::from_secs(5);

impl ClusterModel {
    /// Adds to a snapshot what is told.
    pub(super) async fn hear(&self, objects: &Objects, snapshot: &mut Snapshot) {
        self.measure(objects, snapshot);
        self.count(objects, snapshot).await;
        if let Some(gateways) = &self.gateways {
            self.rest(gateways, objects, snapshot).await;
        }
    }

    /// What the replicas of a model that follows its load measure. Those that are ready now are
    /// asked from now on, or the server is asked of them.
    fn measure(&self, objects: &Objects, snapshot: &mut Snapshot) {
        let key = ModelKey::from(&self.object);
        if !self.wanted.as_ref().is_some_and(Validated::follows_load) {
            return self.scraper.forget(&key);
        }
        self.scraper.register(&key, replicas(objects));
        self.scraper.hear(&key, snapshot);
    }

    /// The requests that revisions on their way out still have, if each of their replicas tells.
    async fn count(&self, objects: &Objects, snapshot: &mut Snapshot) {
        for (revision, pods) in &objects.pods {
            let known = self.memory.revisions.get(revision);
            let leaves = known.is_some_and(|known| known.draining_since.is_some());
            if !leaves || snapshot.weight(revision) > 0 {
                continue;
            }
            if let Some(there) = snapshot.revisions.get_mut(revision)
                && let Some(replicas) = all_of(there.desired, pods)
                && let Some(told) = in_flight(&self.probe, &replicas, ANSWER_TIME).await
            {
                there.in_flight = still(told);
            }
        }
    }

    /// What tells of rest. The gateways come first: who asks a replica meanwhile is seen there.
    async fn rest(&self, gateways: &Gateways, objects: &Objects, snapshot: &mut Snapshot) {
        let key = ModelKey::from(&self.object);
        let seen = gateways.seen(&key);
        let pursued = self.pursued().filter(|pursued| !pursued.paused);
        if let Some(wanted) = pursued
            && let Some(idle_after) = wanted.replicas.idle_after()
        {
            if seen.idle.is_none() {
                gateways.remind(&key);
            }
            if let Some(there) = snapshot.revisions.get_mut(&wanted.revision) {
                let known = self.scraper.idle(&key, &wanted.revision);
                // What keeps a model awake may be some seconds old. What puts it to rest may not.
                there.idle = match known.filter(|idle| *idle < idle_after) {
                    Some(idle) => Some(idle),
                    None => self.ask_idle(objects.pods.get(&wanted.revision)).await,
                };
            }
        }
        snapshot.gateways = Some(seen);
    }

    async fn ask_idle(&self, pods: Option<&Vec<Pod>>) -> Option<Duration> {
        let addresses = ready(pods.map_or(&[], Vec::as_slice))?;
        least_idle(&self.probe, &addresses, ANSWER_TIME).await
    }
}

/// The ready replicas of all revisions.
fn replicas(objects: &Objects) -> Vec<Replica> {
    let pods = objects.pods.iter();
    let pods = pods.flat_map(|(revision, pods)| pods.iter().map(move |pod| (revision, pod)));
    let ready = pods.filter(|(_, pod)| serves(pod));
    let ready = ready.filter_map(|(revision, pod)| {
        Some(Replica {
            revision: revision.clone(),
            uid: pod.metadata.uid.clone()?,
            pod: pod.metadata.name.clone()?,
            address: address(pod)?,
        })
    });
    ready.collect()
}

/// Where all replicas of a revision are, if each is there and ready: one that is not may still answer somebody.
fn all_of(desired: u32, pods: &[Pod]) -> Option<Vec<SocketAddr>> {
    let replicas = ready(pods)?;
    let all = usize::try_from(desired).ok()?.max(pods.len());
    (!replicas.is_empty() && replicas.len() == all).then_some(replicas)
}

/// The requests of a revision without traffic. None, once there have been none for long enough.
fn still(told: Flight) -> Option<u64> {
    let is_over = told.requests == 0 && told.idle >= SETTLED;
    (told.requests > 0 || is_over).then_some(told.requests)
}

/// Where the ready replicas are, if that is known of each.
fn ready(pods: &[Pod]) -> Option<Vec<SocketAddr>> {
    let ready = pods.iter().filter(|pod| serves(pod));
    ready.map(address).collect()
}

#[cfg(test)]
mod tests {
    use chandler_crds::names::metrics;
    use chandler_probe::Client;

    use super::*;
    use crate::served::Served;

    fn told(value: &str) -> String {
        let name = metrics::IDLE_SECONDS;
        format!("{name}{{model_name=\"m\"}} {value}\n")
    }

    #[tokio::test]
    async fn the_replica_that_was_asked_last_counts_if_each_tells() {
        let client = Client::new();
        let (busy, idle) = (
            Served::new(&told("2.5")).await,
            Served::new(&told("90")).await,
        );
        let replicas = [busy.address, idle.address];
        let least = least_idle(&client, &replicas, ANSWER_TIME).await;
        assert_eq!(least, Some(Duration::from_millis(2500)));
        for absurd in ["", "x 1\n", &told("NaN"), &told("-1")] {
            busy.tells(absurd);
            assert_eq!(
                least_idle(&client, &replicas, ANSWER_TIME).await,
                None,
                "{absurd}"
            );
        }
        assert_eq!(
            least_idle(&client, &[], ANSWER_TIME).await,
            None,
            "nobody is there"
        );
    }
}
