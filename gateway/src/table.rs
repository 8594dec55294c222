use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chandler_core::traffic::{ModelRoute, NoRoute, RouteTable, pick};
use tokio::sync::watch;

use crate::in_flight::{Count, Counts, Lease};

/// 2^64 divided by the golden ratio: turns multiplied by it fall evenly over all of u64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The table of the moment. Readers take no lock.
#[derive(Debug)]
pub(crate) struct Routes {
    current: ArcSwap<Snapshot>,
    versions: watch::Sender<u64>,
    counts: Mutex<Counts>,
}

/// One published table with the counts of its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) table: RouteTable,
    /// 0 until the first table is published.
    pub(crate) version: u64,
    counts: HashMap<String, Count>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self {
            current: ArcSwap::default(),
            versions: watch::Sender::new(0),
            counts: Mutex::default(),
        }
    }

    /// Replaces the table as one, and wakes whoever waits for a change.
    pub(crate) fn publish(&self, table: RouteTable) {
        let mut known = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = table
            .models
            .values()
            .flat_map(|model| &model.revisions)
            .flat_map(|revision| &revision.endpoints)
            .map(|endpoint| (endpoint.id.clone(), known.of(&endpoint.id)))
            .collect();
        let version = self.current.load().version + 1;
        self.current.store(Arc::new(Snapshot {
            table,
            version,
            counts,
        }));
        known.forget_unused();
        self.versions.send_replace(version);
    }

    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Versions to come; see [`Snapshot::version`].
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.versions.subscribe()
    }

    /// Requests in flight at an endpoint, be it in the table still or not.
    pub(crate) fn in_flight(&self, endpoint: &str) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.in_flight(endpoint)
    }
}

impl Snapshot {
    /// The models as callers are told of them, each once: by the name that it is served as, or by
    /// another if that one leads to another model.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&str, &ModelRoute)> {
        let models = &self.table.models;
        models.iter().filter_map(|(name, route)| {
            let first = models.get(&route.served_name);
            let by_first = first.is_some_and(|first| first.key == route.key);
            (!by_first || *name == route.served_name).then_some((name.as_str(), route))
        })
    }

    /// Chooses a replica and takes a place at it.
    pub(crate) fn lease(&self, model: &str, tried: &[String], turn: u64) -> Result<Lease, NoRoute> {
        let in_flight = |id: &str| {
            let count = self.counts.get(id);
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        };
        let choice = pick(&self.table, model, tried, in_flight, draw(turn), turn)?;
        let route = self.table.models.get(model).ok_or(NoRoute::UnknownModel)?;
        let id = &choice.endpoint.id;
        let count = self.counts.get(id).cloned().unwrap_or_default();
        let (endpoint, revision) = (choice.endpoint.clone(), choice.revision.to_owned());
        Ok(Lease::new(
            count,
            endpoint,
            revision,
            route.served_name.clone(),
        ))
    }
}

/// A number in `[0, 1)` for each turn. A low-discrepancy sequence rather than a random one: a
/// revision of weight 10 gets close to 10 of any 100 requests in a row.
fn draw(turn: u64) -> f64 {
    (turn.wrapping_mul(GOLDEN) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use chandler_core::traffic::{Endpoint, RevisionRoute};

    use super::*;

    fn table(ids: &[&str]) -> RouteTable {
        let endpoints = ids.iter().map(|id| Endpoint {
            id: (*id).into(),
            addr: ([127, 0, 0, 1], 1).into(),
        });
        let revision = RevisionRoute {
            revision: "r".into(),
            weight: 100,
            endpoints: endpoints.collect(),
        };
        let model = ModelRoute {
            key: "default/m".into(),
            served_name: "m".into(),
            created: 0,
            revisions: vec![revision],
        };
        RouteTable {
            models: BTreeMap::from([("m".into(), model)]),
        }
    }

    #[test]
    fn a_count_outlives_the_table_that_named_it() {
        let routes = Routes::new();
        routes.publish(table(&["a"]));
        let lease = routes.load().lease("m", &[], 0).unwrap();
        routes.publish(table(&[]));
        assert_eq!(routes.in_flight("a"), 1);
        assert_eq!(
            routes.load().lease("m", &[], 0).unwrap_err(),
            NoRoute::NoReadyReplica
        );
        routes.publish(table(&["a", "b"]));
        let other = routes.load().lease("m", &[], 0).unwrap();
        assert_eq!(other.endpoint.id, "b", "a is still busy");
        drop(lease);
        assert_eq!((routes.in_flight("a"), routes.in_flight("b")), (0, 1));
    }

    #[test]
    fn a_waiter_learns_of_a_change_made_before_it_asked() {
        let routes = Routes::new();
        let seen = routes.load().version;
        routes.publish(table(&["a"]));
        let changes = routes.changes();
        assert_ne!(*changes.borrow(), seen);
    }

    #[test]
    fn draws_are_even_over_any_hundred_turns() {
        for start in [0, 1, 12_345, u64::MAX - 50] {
            let turns = (0..100).map(|i| draw(start.wrapping_add(i)));
            let low = turns.filter(|draw| *draw < 0.1).count();
            assert!((8..=12).contains(&low), "{low} from {start}");
        }
    }
}
