use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chandler_core::traffic::affinity::mix;
use chandler_core::traffic::{
    Ask, Draws, Hedging, Load, ModelRoute, NoRoute, Place, RouteTable, pick,
};
use tokio::sync::watch;

use crate::in_flight::{Lease, Replicas, Seat};

/// 2^64 divided by the golden ratio: turns multiplied by it fall evenly over all of u64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The table of the moment. Readers take no lock.
#[derive(Debug)]
pub(crate) struct Routes {
    current: ArcSwap<Snapshot>,
    versions: watch::Sender<u64>,
    replicas: Mutex<Replicas>,
}

/// One published table, made ready to be asked by each request.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// 0 until the first table is published.
    pub(crate) version: u64,
    /// By each name that leads to it.
    models: HashMap<String, Arc<Model>>,
}

/// One model of a table.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) route: ModelRoute,
    /// That of the last table's model of the same key, if there was one.
    pub(crate) hedging: Arc<Hedging>,
    /// As [`ModelRoute::revisions`] and their endpoints are ordered.
    seats: Vec<Vec<Arc<Seat>>>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self {
            current: ArcSwap::default(),
            versions: watch::Sender::new(0),
            replicas: Mutex::default(),
        }
    }

    /// Replaces the table as one, and wakes whoever waits for a change.
    pub(crate) fn publish(&self, table: RouteTable) {
        let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.current.load().next(table, &mut replicas);
        let version = snapshot.version;
        self.current.store(Arc::new(snapshot));
        replicas.forget_unused();
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
        let replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.in_flight(endpoint)
    }
}

impl Snapshot {
    /// That of the table that comes after this one.
    fn next(&self, table: RouteTable, replicas: &mut Replicas) -> Self {
        let version = self.version + 1;
        let last = self.models.values();
        let last: HashMap<&str, _> = last
            .map(|model| (&*model.route.key, &model.hedging))
            .collect();
        let mut by_key: HashMap<String, Arc<Model>> = HashMap::new();
        let models = table.models.into_iter().map(|(name, route)| {
            // Most models are known by two names.
            let known = by_key.get(&route.key).filter(|known| known.route == route);
            let model = known.cloned().unwrap_or_else(|| {
                let key = route.key.clone();
                let hedging = last.get(&*key).copied().cloned().unwrap_or_default();
                let model = Arc::new(Model::new(route, version, replicas, hedging));
                by_key.insert(key, Arc::clone(&model));
                model
            });
            (name, model)
        });
        Self {
            version,
            models: models.collect(),
        }
    }

    /// The model that callers call `name`.
    pub(crate) fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.get(name)
    }

    /// Every name with the model that it leads to.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, &Arc<Model>)> {
        self.models.iter()
    }

    /// The models as callers are told of them, each once, in the order of their names: by the
    /// name that it is served as, or by another if that one leads to another model.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&str, &ModelRoute)> {
        let models = self.models.iter();
        let mut listed: Vec<_> = models
            .filter(|(name, model)| {
                let first = self.models.get(&model.route.served_name);
                let by_first = first.is_some_and(|first| first.route.key == model.route.key);
                !by_first || **name == model.route.served_name
            })
            .map(|(name, model)| (name.as_str(), &model.route))
            .collect();
        listed.sort_unstable_by_key(|(name, _)| *name);
        listed.into_iter()
    }

    /// Chooses a replica of the model that callers call `name`, and takes a place at it. `now` is
    /// since any moment that all calls share.
    ///
    /// # Errors
    /// [`NoRoute`], when there is nothing to choose from.
    pub(crate) fn lease(&self, name: &str, ask: &Ask<'_>, now: Duration) -> Result<Lease, NoRoute> {
        self.model(name)
            .ok_or(NoRoute::UnknownModel)?
            .lease(ask, now)
    }
}

impl Model {
    fn new(
        route: ModelRoute,
        version: u64,
        replicas: &mut Replicas,
        hedging: Arc<Hedging>,
    ) -> Self {
        let served_name: Arc<str> = route.served_name.as_str().into();
        let revisions = route.revisions.iter();
        let seats = revisions.map(|revision| {
            let hash: Arc<str> = revision.revision.as_str().into();
            let seats = revision.endpoints.iter().map(|endpoint| {
                let replica = replicas.of(endpoint, version);
                let (revision, served_name) = (Arc::clone(&hash), Arc::clone(&served_name));
                Arc::new(Seat::new(endpoint.clone(), revision, served_name, replica))
            });
            seats.collect()
        });
        let seats = seats.collect();
        Self {
            route,
            hedging,
            seats,
        }
    }

    /// See [`Snapshot::lease`].
    pub(crate) fn lease(&self, ask: &Ask<'_>, now: Duration) -> Result<Lease, NoRoute> {
        let take = |ejected_too| Ok(Lease::take(self.choose(ask, now)?, now, ejected_too));
        // Another request may take the trial that this one is about to take. One that is led to
        // an ejected replica twice was led there knowingly.
        match take(false)? {
            Some(lease) => Ok(lease),
            None => take(true)?.ok_or(NoRoute::AllTried),
        }
    }

    /// Takes a place at a second replica of the revision of `first`; `None` unless there is one
    /// that nothing speaks against.
    pub(crate) fn second(&self, first: &Lease, draws: Draws, now: Duration) -> Option<Lease> {
        let ask = Ask {
            revision: Some(&first.revision),
            tried: std::slice::from_ref(&first.endpoint.id),
            draws,
            ..Ask::default()
        };
        Lease::take(self.choose(&ask, now).ok()?, now, false)
    }

    /// Whether a request is at one of its replicas.
    pub(crate) fn is_asked(&self, now: Duration) -> bool {
        let mut seats = self.seats.iter().flatten();
        seats.any(|seat| seat.replica.load(now).in_flight > 0)
    }

    fn choose(&self, ask: &Ask<'_>, now: Duration) -> Result<&Arc<Seat>, NoRoute> {
        let load = |place| {
            let seat = self.seat(place);
            seat.map_or_else(Load::default, |seat| seat.replica.load(now))
        };
        let seat = self.seat(pick(&self.route, ask, load)?);
        seat.ok_or(NoRoute::NoReadyReplica)
    }

    fn seat(&self, place: Place) -> Option<&Arc<Seat>> {
        self.seats.get(place.revision)?.get(place.endpoint)
    }
}

/// The dice of each turn. The revision's is a low-discrepancy sequence rather than a random one: a
/// revision of weight 10 gets close to 10 of any 100 requests in a row.
pub(crate) fn draws(turn: u64) -> Draws {
    Draws {
        revision: (turn.wrapping_mul(GOLDEN) >> 11) as f64 / (1u64 << 53) as f64,
        replica: mix(turn),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use chandler_core::traffic::health::EJECTION;
    use chandler_core::traffic::{Endpoint, RevisionRoute};

    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn model(key: &str, ids: &[&str]) -> ModelRoute {
        let endpoints = ids.iter().map(|id| Endpoint {
            id: (*id).into(),
            addr: ([127, 0, 0, 1], 1).into(),
        });
        let revision = RevisionRoute {
            revision: "r".into(),
            weight: 100,
            endpoints: endpoints.collect(),
        };
        ModelRoute {
            key: key.into(),
            served_name: "m".into(),
            revisions: vec![revision],
            ..ModelRoute::default()
        }
    }

    fn table(ids: &[&str]) -> RouteTable {
        RouteTable {
            models: BTreeMap::from([("m".into(), model("default/m", ids))]),
        }
    }

    fn lease(routes: &Routes, turn: u64) -> Result<Lease, NoRoute> {
        let ask = Ask {
            draws: draws(turn),
            ..Ask::default()
        };
        routes.load().lease("m", &ask, NOW)
    }

    #[test]
    fn a_count_outlives_the_table_that_named_it() {
        let routes = Routes::new();
        routes.publish(table(&["a"]));
        let held = lease(&routes, 0).unwrap();
        routes.publish(table(&[]));
        assert_eq!(routes.in_flight("a"), 1);
        assert_eq!(lease(&routes, 0).unwrap_err(), NoRoute::NoReadyReplica);
        routes.publish(table(&["a", "b"]));
        let other = lease(&routes, 0).unwrap();
        assert_eq!(other.endpoint.id, "b", "a is still busy");
        drop(held);
        assert_eq!((routes.in_flight("a"), routes.in_flight("b")), (0, 1));
    }

    #[test]
    fn a_replica_that_failed_is_passed_over_also_by_the_next_table() {
        let routes = Routes::new();
        routes.publish(table(&["a", "b", "c"]));
        for turn in 0.. {
            let lease = lease(&routes, turn).unwrap();
            if lease.endpoint.id == "a" {
                (0..EJECTION.failures).for_each(|_| lease.failed(NOW));
                break;
            }
        }
        for ids in [&["a", "b", "c"][..], &["c", "a"]] {
            routes.publish(table(ids));
            for turn in 0..100 {
                assert_ne!(lease(&routes, turn).unwrap().endpoint.id, "a");
            }
        }
        routes.publish(table(&["a"]));
        assert!(lease(&routes, 0).is_ok(), "it is all there is");
    }

    #[test]
    fn what_a_replica_reports_counts_as_load() {
        let routes = Routes::new();
        routes.publish(table(&["a", "b"]));
        let first = lease(&routes, 0).unwrap();
        first.report_queued_tokens(10_000, NOW);
        let held: Vec<_> = (0..10).map(|turn| lease(&routes, turn).unwrap()).collect();
        assert!(
            held.iter()
                .all(|lease| lease.endpoint.id != first.endpoint.id)
        );
    }

    #[test]
    fn a_second_replica_is_another_that_nothing_speaks_against() {
        let routes = Routes::new();
        routes.publish(table(&["a"]));
        let second = |first: &Lease, turn| {
            let (snapshot, draws) = (routes.load(), draws(turn));
            snapshot.model("m").unwrap().second(first, draws, NOW)
        };
        let alone = lease(&routes, 0).unwrap();
        assert!(second(&alone, 0).is_none());
        routes.publish(table(&["a", "b"]));
        for turn in 0..20 {
            let other = second(&alone, turn).unwrap();
            assert_eq!((&*other.endpoint.id, &*other.revision), ("b", "r"));
        }
        let other = second(&alone, 0).unwrap();
        (0..EJECTION.failures).for_each(|_| other.failed(NOW));
        assert!(second(&alone, 0).is_none());
    }

    #[test]
    fn what_is_known_of_a_models_times_outlives_a_table() {
        let routes = Routes::new();
        let known = |name| Arc::clone(&routes.load().model(name).unwrap().hedging);
        routes.publish(table(&["a"]));
        let before = known("m");
        let renamed = BTreeMap::from([("n".into(), model("default/m", &[]))]);
        routes.publish(RouteTable { models: renamed });
        assert!(Arc::ptr_eq(&before, &known("n")));
    }

    #[test]
    fn a_lease_tells_what_the_table_said() {
        let routes = Routes::new();
        let route = model("default/m", &["a"]);
        routes.publish(RouteTable {
            models: BTreeMap::from([("other".into(), route)]),
        });
        let snapshot = routes.load();
        let lease = snapshot.lease("other", &Ask::default(), NOW).unwrap();
        assert_eq!((&*lease.revision, &*lease.served_name), ("r", "m"));
        let unknown = snapshot.lease("m", &Ask::default(), NOW).unwrap_err();
        assert_eq!(unknown, NoRoute::UnknownModel);
    }

    #[test]
    fn names_of_one_model_share_it_and_it_is_listed_once() {
        let routes = Routes::new();
        let (own, other) = (model("default/m", &["a"]), model("team/m", &["b"]));
        routes.publish(RouteTable {
            models: BTreeMap::from([
                ("m".into(), own.clone()),
                ("default/m".into(), own),
                ("canary".into(), model("default/m", &["c"])),
                ("team/m".into(), other),
            ]),
        });
        let snapshot = routes.load();
        let of = |name| snapshot.model(name).unwrap();
        assert!(Arc::ptr_eq(of("m"), of("default/m")));
        assert!(!Arc::ptr_eq(of("m"), of("team/m")));
        assert!(!Arc::ptr_eq(of("m"), of("canary")), "it leads elsewhere");
        let names: Vec<_> = snapshot.listed().map(|(name, _)| name).collect();
        assert_eq!(names, ["m", "team/m"]);
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
            let turns = (0..100).map(|i| draws(start.wrapping_add(i)).revision);
            let low = turns.filter(|draw| *draw < 0.1).count();
            assert!((8..=12).contains(&low), "{low} from {start}");
        }
    }
}
