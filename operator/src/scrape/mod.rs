//! What the replicas of models that follow their load measure, had by the operator that leads: from
//! each replica, or from a Prometheus server that collects it.
//!
//! ```text
//! a turn: replicas ──► follow: ask each replica ──► series ──► a turn's snapshot
//!                          └─► or the server              └──► glance: who needs a turn
//! ```

mod clock;
mod from;
mod glance;
mod join;
mod model;
mod pods;
mod recorded;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::load::LoadSeen;
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::ModelKey;
use chandler_probe::Client;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::looks::{Looks, in_rounds};
use crate::metrics::Metrics;

use self::clock::Clock;
use self::model::Model;
use self::recorded::Recorder;

pub use self::from::MetricsFrom;
#[cfg(test)]
pub(crate) use self::glance::Moment;
pub use self::glance::Settled;
pub use self::model::Replica;

/// Moments are told as the time since then, so that what was measured before this process began has
/// a moment too.
const BEFORE: Duration = Duration::from_secs(3600);

/// What replicas tell. Copies share it.
#[derive(Clone, Debug)]
pub struct Scraper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    metrics: Metrics,
    began: Instant,
    state: Mutex<State>,
}

/// Who is asked.
#[derive(Debug)]
enum Source {
    Replicas(Box<Client>),
    Server(Recorder),
}

#[derive(Debug, Default)]
struct State {
    models: BTreeMap<ModelKey, Model>,
    /// The server's.
    clock: Clock,
    /// Why the server told nothing when it was asked last.
    fault: Option<String>,
}

impl Scraper {
    /// Asks replicas, and nobody yet.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self::from(Source::Replicas(Box::new(client)), metrics)
    }

    /// Asks a Prometheus server, of the pods of one namespace or of all.
    #[must_use]
    pub fn recorded(
        server: crate::prometheus::Server,
        namespace: Option<&str>,
        metrics: Metrics,
    ) -> Self {
        Self::from(Source::Server(Recorder::new(server, namespace)), metrics)
    }

    fn from(source: Source, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            source,
            metrics,
            began: Instant::now(),
            state: Mutex::default(),
        }))
    }

    /// From now on asks of these replicas of a model, and of no others of it.
    pub fn register(&self, key: &ModelKey, replicas: Vec<Replica>) {
        let now = self.now();
        let mut state = self.state();
        state
            .models
            .entry(key.clone())
            .or_default()
            .set(replicas, now);
        self.shown(&mut state, key, now);
    }

    /// Asks of no replica of a model any more, and forgets what they told.
    pub fn forget(&self, key: &ModelKey) {
        self.state().models.remove(key);
    }

    /// Forgets all: another process asks.
    pub fn forget_all(&self) {
        *self.state() = State::default();
        self.0.metrics.replicas(0, 0);
    }

    /// The load of a revision; `None` if none of its replicas told lately.
    #[must_use]
    pub fn load(&self, key: &ModelKey, revision: &str) -> Option<LoadSeen> {
        let now = self.now();
        self.state().models.get(key)?.load(revision, now)
    }

    /// How long none of a revision's replicas had had a request when they told; `None` unless each
    /// told lately.
    #[must_use]
    pub fn idle(&self, key: &ModelKey, revision: &str) -> Option<Duration> {
        self.idle_at(key, revision, self.now())
    }

    fn idle_at(&self, key: &ModelKey, revision: &str, now: Duration) -> Option<Duration> {
        self.state().models.get(key)?.idle(revision, now)
    }

    /// Puts into a snapshot what the replicas measure, and why nothing is known of them if nothing is;
    /// of replicas that are each asked itself the latter is not told.
    pub fn hear(&self, key: &ModelKey, snapshot: &mut Snapshot) {
        self.hear_at(key, snapshot, self.now());
    }

    pub(crate) fn hear_at(&self, key: &ModelKey, snapshot: &mut Snapshot, now: Duration) {
        let state = self.state();
        let model = state.models.get(key);
        for (revision, there) in &mut snapshot.revisions {
            there.load = model.and_then(|model| model.load(revision, now));
        }
        snapshot.trail = model.map(|model| model.trail(now)).unwrap_or_default();
        snapshot.untold = model.and_then(|model| self.why_untold(&state, model, now));
    }

    /// Asks again and again, until nobody takes the looks.
    pub async fn follow(&self, looks: &mpsc::Sender<Looks>) {
        let mut round = 0_u32;
        in_rounds(looks, || {
            let number = round;
            round = round.wrapping_add(1);
            self.round(number)
        })
        .await;
    }

    /// Gives the models to be looked at.
    async fn round(&self, number: u32) -> Looks {
        match &self.0.source {
            Source::Replicas(client) => self.ask_all(client).await,
            Source::Server(recorder) if number.is_multiple_of(recorded::ROUNDS) => {
                self.ask_server(recorder).await;
            }
            Source::Server(_) => {}
        }
        self.count();
        self.looks(self.moment())
    }

    fn count(&self) {
        let now = self.now();
        let state = self.state();
        let counts = state.models.values().map(|model| model.counts(now));
        let (fresh, stale) = counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        self.0.metrics.replicas(fresh, stale);
    }

    fn now(&self) -> Duration {
        BEFORE + self.0.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without the models that are no more.
    fn state_of_present(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let ledger = self.0.metrics.ledger();
        state.models.retain(|key, _| !ledger.is_gone(key));
        state
    }
}

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;
