//! What is told of a model's requests: by the gateways, and by the replicas of one that may rest.

use std::net::SocketAddr;
use std::time::Duration;

use chandler_core::snapshot::Snapshot;
use chandler_core::validate::{ModelKey, Validated};
use chandler_probe::least_idle;
use k8s_openapi::api::core::v1::Pod;

use super::ClusterModel;
use super::observe::{Objects, serves};
use super::probe::address;

/// A replica tells its metrics in milliseconds; the turn waits for the slowest.
const ANSWER_TIME: Duration = Duration::from_secs(2);

impl ClusterModel {
    /// Adds to a snapshot what is told. The gateways come first: who asks a replica meanwhile is
    /// seen there.
    pub(super) async fn hear(&self, objects: &Objects, snapshot: &mut Snapshot) {
        let Some(gateways) = &self.gateways else {
            return;
        };
        let key = ModelKey::from(&self.object);
        let seen = gateways.seen(&key);
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| may_rest(wanted)) {
            if seen.idle.is_none() {
                gateways.remind(&key);
            }
            if let Some(there) = snapshot.revisions.get_mut(&wanted.revision) {
                let pods = objects.pods.get(&wanted.revision);
                there.idle = match ready(pods.map_or(&[], Vec::as_slice)) {
                    Some(addresses) => least_idle(&self.probe, &addresses, ANSWER_TIME).await,
                    None => None,
                };
            }
        }
        snapshot.gateways = Some(seen);
    }
}

fn may_rest(wanted: &Validated) -> bool {
    wanted.replicas.idle_after().is_some() && !wanted.paused
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
