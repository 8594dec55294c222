use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use chandler_core::analysis::Tallies;
use chandler_core::traffic::{Hedging, ModelRoute, RetryBudget, RouteTable};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accounts::{Accounts, Keys};
use crate::attempt::Upstream;
use crate::config::GatewayConfig;
use crate::demand::{self, Demand};
use crate::idle::{Counted, Idle};
use crate::metrics::Metrics;
use crate::observe::Observers;
use crate::routes;
use crate::signal::Signal;
use crate::table::Routes;
use crate::wait::WaitingRoom;

/// The front door. Clones are the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: GatewayConfig,
    pub(crate) routes: Routes,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Metrics,
    pub(crate) accounts: Accounts,
    pub(crate) observers: Arc<Observers>,
    pub(crate) waiting: WaitingRoom,
    pub(crate) demand: Demand,
    idle: Idle,
    retries: RetryBudget,
    began: Instant,
    /// Set when callers had better go elsewhere, while those who come are still answered.
    pub(crate) leaving: AtomicBool,
    /// Set when no new requests are welcome.
    pub(crate) draining: Signal,
    /// Set when requests in flight can be waited for no longer.
    pub(crate) ending: Signal,
    turns: AtomicU64,
}

/// What a gateway tells of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Requests that wait for a first replica.
    pub waiting: u64,
    /// How long none has come, waited or been in flight; `None` of a model that the table has not.
    pub idle: Option<Duration>,
    /// Whether everyone may ask, for want of any API key.
    pub open: bool,
}

impl Gateway {
    /// A gateway with no table: requests wait for the first one.
    ///
    /// # Errors
    /// When the metrics can't be registered, which is a fault of their names.
    pub fn new(config: GatewayConfig) -> prometheus::Result<Self> {
        let metrics = Metrics::new()?;
        Ok(Self(Arc::new(Inner {
            routes: Routes::new(),
            upstream: Upstream::new(&config, metrics.clone()),
            waiting: WaitingRoom::new(config.max_waiting, config.max_waiting_bytes),
            demand: Demand::new(metrics.clone()),
            idle: Idle::new(metrics.registry())?,
            retries: RetryBudget::new(),
            accounts: Accounts::new(metrics.registry(), config.max_waiting)?,
            observers: Observers::new(&config, &metrics),
            metrics,
            began: Instant::now(),
            leaving: AtomicBool::new(false),
            draining: Signal::default(),
            ending: Signal::default(),
            turns: AtomicU64::new(0),
            config,
        })))
    }

    /// Replaces the whole table. Requests in flight keep the replicas that they have; requests
    /// that wait for a replica look again.
    pub fn publish(&self, table: RouteTable) {
        self.0.routes.publish(table.clone());
        self.0.accounts.table_changed(&table);
        // From now on a new model is known.
        self.0.look();
    }

    /// Lets nobody in until the first [`publish_keys`](Self::publish_keys). A gateway that is
    /// told nothing of keys is open to everyone.
    pub fn await_keys(&self) {
        self.0.accounts.await_keys();
    }

    /// Replaces all API keys; with none at all, everyone may ask.
    pub fn publish_keys(&self, keys: Keys) {
        self.0.accounts.publish(keys);
    }

    /// Says in the log that everyone may ask, if it is so.
    pub fn warn_if_open(&self) {
        self.0.accounts.warn_if_open();
    }

    /// Requests in flight at an endpoint, be it in the table still or not; 0 if unknown.
    pub fn in_flight(&self, endpoint_id: &str) -> u64 {
        self.0.routes.in_flight(endpoint_id)
    }

    /// What the gateway tells of the model `key`, `namespace/name`, as its metrics do.
    pub fn told(&self, key: &str) -> Told {
        let now = self.0.look();
        Told {
            waiting: u64::try_from(self.0.demand.waiting(key)).unwrap_or(u64::MAX),
            idle: self.0.idle.of(key, now),
            open: self.0.accounts.are_open(),
        }
    }

    /// What is counted of models whose traffic more than one revision has.
    pub fn tallies(&self) -> Tallies {
        self.0.routes.tallies()
    }

    /// Changes whenever a first request begins to wait for a replica of a model, and not with the
    /// herd behind it.
    pub fn demand_changes(&self) -> watch::Receiver<u64> {
        self.0.demand.changes()
    }

    /// The models, `namespace/name`, that requests wait for.
    pub fn waited_for(&self) -> Vec<String> {
        self.0.demand.waited_for()
    }

    /// The HTTP service, for a caller that has a listener and a shutdown of its own; others use
    /// [`serve`](crate::serve).
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// Health and metrics alone, for a port of their own.
    pub fn admin_router(&self) -> Router {
        routes::admin(self.clone())
    }

    /// Tells probes and callers to go elsewhere: from now on the gateway is not ready, and closes
    /// each connection after the answer. It still answers whoever comes.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Ends what is in flight: a stream with an error event, anything else with a 503.
    pub fn cut(&self) {
        self.0.ending.give();
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// Time since the gateway began, the clock of all that it measures.
    pub(crate) fn now(&self) -> Duration {
        self.since_begin(Instant::now())
    }

    /// The same at `moment`: to read the clock again and again for one request costs.
    pub(crate) fn since_begin(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }

    /// The metrics as they are now, in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        self.look();
        self.metrics.render()
    }

    /// Finds out how long each model has been without a request; gives the time of that.
    fn look(&self) -> Duration {
        self.idle.look(|| self.counted(), || self.now())
    }

    /// What is counted of each model's requests. Requests are counted by the name that their
    /// callers used; the table of the moment tells whose it is. One that still has a replica of a
    /// model whose name leads elsewhere by now is seen there.
    fn counted(&self) -> HashMap<String, Counted> {
        let (now, snapshot) = (self.now(), self.routes.load());
        let tallies = self.metrics.tallies();
        let mut models: HashMap<String, Counted> = HashMap::new();
        for (name, model) in snapshot.names() {
            let tally = tallies.get(name).copied().unwrap_or_default();
            let counted = models.entry(model.route.key.clone()).or_default();
            counted.open |= tally.in_flight > 0 || model.is_asked(now);
            counted.ended.insert(name.clone(), tally.ended);
        }
        for key in self.demand.waited_for() {
            if let Some(counted) = models.get_mut(&key) {
                counted.open = true;
            }
        }
        models
    }

    /// One more request is to be answered.
    pub(crate) fn count_request(&self, now: Instant) {
        self.retries.request(self.since_begin(now));
    }

    /// Whether a request that lost its replica may be sent to another: where many do, replicas
    /// have enough to do without.
    pub(crate) fn may_retry(&self) -> bool {
        self.retries.withdraw(self.now())
    }

    /// Whether a request that takes long may be sent to a second replica as well.
    pub(crate) fn may_hedge(&self, hedging: &Hedging) -> bool {
        hedging.may(self.now(), &self.retries)
    }

    /// A number that moves on with each request.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// How long until a replica is likely to be ready.
    pub(crate) fn time_left(&self, route: Option<&ModelRoute>) -> Duration {
        route.map_or(demand::UNKNOWN_START, |route| self.demand.time_left(route))
    }
}
