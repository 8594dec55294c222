use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chandler_core::analysis::Tallies;
use chandler_core::traffic::affinity::mix;
use chandler_core::traffic::{
    Ask, Draws, Hedging, Load, ModelRoute, NoRoute, Place, RouteTable, pick,
};
use tokio::sync::watch;

use crate::aside::Aside;
use crate::compare::{Comparisons, Counters};
use crate::in_flight::{Lease, Replicas, Seat};

/// 2^64 divided by the golden ratio: turns multiplied by it fall evenly over all of u64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The table of the moment. Readers take no lock.
#[derive(Debug)]
pub(crate) struct Routes {
    current: ArcSwap<Snapshot>,
    versions: watch::Sender<u64>,
    replicas: Mutex<Replicas>,
    comparisons: Mutex<Comparisons>,
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
            comparisons: Mutex::default(),
        }
    }

    /// Replaces the table as one, and wakes whoever waits for a change.
    pub(crate) fn publish(&self, table: RouteTable) {
        let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        let mut comparisons = self.comparisons();
        let snapshot = self.current.load();
        let snapshot = snapshot.next(table, &mut replicas, &mut comparisons);
        let version = snapshot.version;
        self.current.store(Arc::new(snapshot));
        replicas.forget_unused();
        self.versions.send_replace(version);
    }

    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What is counted of models whose traffic more than one revision has.
    pub(crate) fn tallies(&self) -> Tallies {
        self.comparisons().told()
    }

    fn comparisons(&self) -> MutexGuard<'_, Comparisons> {
        let comparisons = self.comparisons.lock();
        comparisons.unwrap_or_else(PoisonError::into_inner)
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
    fn next(
        &self,
        table: RouteTable,
        replicas: &mut Replicas,
        comparisons: &mut Comparisons,
    ) -> Self {
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
                let counters = comparisons.of(&route);
                let model = Model::new(route, version, replicas, hedging, &counters);
                let model = Arc::new(model);
                by_key.insert(key, Arc::clone(&model));
                model
            });
            (name, model)
        });
        let models = models.collect();
        comparisons.keep(|key| by_key.contains_key(key));
        Self { version, models }
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
        counters: &Counters,
    ) -> Self {
        let served_name: Arc<str> = route.served_name.as_str().into();
        let aside = route
            .shadow
            .as_ref()
            .and_then(|it| Aside::new(it, counters));
        let aside = aside.map(Arc::new);
        let revisions = route.revisions.iter();
        let seats = revisions.map(|revision| {
            let hash: Arc<str> = revision.revision.as_str().into();
            let seats = revision.endpoints.iter().map(|endpoint| {
                let replica = replicas.of(endpoint, version);
                let (revision, served_name) = (Arc::clone(&hash), Arc::clone(&served_name));
                // What is asked aside is counted apart.
                let counter = counters.get(&*hash).filter(|_| aside.is_none());
                let counter = counter.map(Arc::clone);
                let endpoint = endpoint.clone();
                let own = aside.as_ref().filter(|it| it.is_of(&revision)).cloned();
                let seat = Seat::new(endpoint, revision, served_name, replica, counter);
                Arc::new(seat.with_aside(own))
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

    /// Takes a place at the least busy replica of a revision, whatever its weight; `None` if none is fit.
    pub(crate) fn at_revision(&self, revision: &str, now: Duration) -> Option<Lease> {
        let mut revisions = self.route.revisions.iter();
        let at = revisions.position(|it| it.revision == revision)?;
        let seats = self.seats.get(at)?.iter();
        let seat = seats.min_by_key(|seat| seat.replica.load(now).in_flight)?;
        Lease::take(seat, now, false)
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
#[path = "table_tests.rs"]
mod tests;
