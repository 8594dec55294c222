//! The local world: replicas are child processes of this one, and the gateway's table is kept in
//! step with them.

mod child;
mod judging;
mod life;
mod load;
mod replica;
mod rest;
mod routes;
mod state;
mod world;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chandler_core::analysis::Trials;
use chandler_core::validate::{ModelKey, Validated};
use chandler_core::world::Outcome;
use chandler_gateway::Gateway;
use chandler_source::{Access, Cache};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::manifest::Suites;
use crate::output::{Event, Events};
use state::Models;
pub(crate) use world::LocalModel;

/// Between the begins of two rounds of questions to replicas.
const PERIOD: Duration = Duration::from_secs(1);
/// The one gateway, among those that tell of requests.
const GATEWAY: &str = "local";

/// What the local world needs from outside.
pub(crate) struct Config {
    /// The server program.
    pub(crate) server: PathBuf,
    /// Where downloaded models are.
    pub(crate) cache: Cache,
    /// The cache's folder, if it was given; replicas are told.
    pub(crate) cache_dir: Option<PathBuf>,
    /// How model stores are reached.
    pub(crate) access: Access,
}

/// All replicas of this machine.
pub(crate) struct Local {
    config: Config,
    gateway: Gateway,
    events: Events,
    client: chandler_probe::Client,
    models: Mutex<Models>,
    /// Comparisons of canaries' traffic.
    trials: Mutex<Trials>,
    /// Questions that answers are judged by.
    suites: Mutex<Arc<Suites>>,
    /// Moments of readings are told as the time since then.
    origin: Instant,
}

impl Local {
    pub(crate) fn new(config: Config, gateway: Gateway, events: Events) -> Arc<Self> {
        let models = Mutex::default();
        Arc::new(Self {
            config,
            gateway,
            events,
            client: chandler_probe::Client::new(),
            models,
            trials: Mutex::default(),
            suites: Mutex::default(),
            origin: Instant::now(),
        })
    }

    /// Makes a model known under the name it is served by.
    pub(crate) fn know(&self, spec: &Validated) {
        self.models().insert(spec);
        self.publish();
    }

    /// From now on these are the suites.
    pub(crate) fn set_suites(&self, suites: Suites) {
        let mut known = self.suites.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(suites);
    }

    fn suites(&self) -> Arc<Suites> {
        let known = self.suites.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    /// Answers were judged.
    fn judged(&self, key: &ModelKey, outcome: Outcome) {
        let mut models = self.models();
        let model = models.all.get_mut(key);
        if let Some(judging) = model.and_then(|model| model.judging.as_mut()) {
            judging.outcome = Some(outcome);
        }
        models.wake(key).notify_one();
    }

    /// The world of one model.
    pub(crate) fn world(self: &Arc<Self>, key: &ModelKey) -> LocalModel {
        LocalModel::new(Arc::clone(self), key.clone())
    }

    /// A model that is gone for good; its name is free for another.
    pub(crate) fn forget(&self, key: &ModelKey) {
        self.trials().forget(key);
        self.models().remove(key);
        self.publish();
    }

    /// What wakes the model's runner after a change.
    pub(crate) fn wake(&self, key: &ModelKey) -> Arc<Notify> {
        self.models().wake(key)
    }

    /// Wakes the runner of each model that a first request begins to wait for, for ever: it may be
    /// at rest.
    pub(crate) async fn follow_demand(self: Arc<Self>) {
        let mut demand = self.gateway.demand_changes();
        // Whoever waits already counts as well.
        demand.mark_changed();
        while demand.changed().await.is_ok() {
            let waited_for = self.gateway.waited_for();
            self.models().wake_all(&waited_for);
        }
    }

    /// Asks replicas what they measure, again and again, for ever.
    pub(crate) async fn follow_load(self: Arc<Self>) {
        let mut rounds = interval(PERIOD);
        // One that comes late puts the next ones off: they do not pile up.
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            load::round(&self).await;
            self.compare();
        }
    }

    /// Takes note of what the gateway counts of canaries' traffic, and wakes the runners of those that
    /// it tells on.
    fn compare(&self) {
        if self.trials().is_empty() {
            return;
        }
        let round = [(GATEWAY.to_owned(), self.gateway.tallies())].into();
        let judged = self.trials().note(round);
        for key in judged {
            self.wake(&key).notify_one();
        }
    }

    fn trials(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains every replica and waits until its process is gone.
    pub(crate) async fn stop_all(&self) {
        let replicas = self.models().take_all();
        for replica in &replicas {
            replica.drain();
        }
        for replica in replicas {
            replica.gone().await;
        }
    }

    /// Ends every replica that still drains, now.
    pub(crate) fn stop_now(&self) {
        self.models().stop_now();
    }

    /// After a replica changed: the table follows, and the model's runner looks again.
    fn changed(&self, key: &ModelKey) {
        self.publish();
        self.models().wake(key).notify_one();
    }

    fn publish(&self) {
        // Under the lock, so that an older table never replaces a newer one.
        let models = self.models();
        self.gateway.publish(routes::table(&models));
    }

    fn tell(&self, event: Event) {
        // The printer ends last; if it has gone, nobody listens.
        let _ = self.events.send(event);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
