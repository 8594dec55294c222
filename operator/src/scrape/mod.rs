//! What the replicas of models that follow their load measure, had by the operator that leads: from
//! each replica, or from a Prometheus server that collects it.
//!
//! ```text
//! a turn: replicas ──► follow: ask each replica ──► series ──► a turn's snapshot
//!                          └─► or the server              └──► who is looked at soon
//! ```

mod clock;
mod from;
mod join;
mod model;
mod pods;
mod recorded;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::load::{LoadSeen, Trail};
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
pub use self::model::Replica;

/// Looks that a round asks for at most, those first that are overdue most: a turn lists a model's
/// objects, and an API server has other things to do.
const LOOKS: usize = 16;
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

    /// What was asked of a model lately.
    #[must_use]
    pub fn trail(&self, key: &ModelKey) -> Trail {
        let now = self.now();
        let state = self.state();
        let model = state.models.get(key);
        model.map(|model| model.trail(now)).unwrap_or_default()
    }

    /// How long none of a revision's replicas had had a request when they told; `None` unless each
    /// told lately.
    #[must_use]
    pub fn idle(&self, key: &ModelKey, revision: &str) -> Option<Duration> {
        let now = self.now();
        self.state().models.get(key)?.idle(revision, now)
    }

    /// Why nothing is known of a model's replicas, for people; `None` if something is, or if each is
    /// asked itself.
    #[must_use]
    pub fn untold(&self, key: &ModelKey) -> Option<String> {
        let now = self.now();
        let state = self.state();
        self.why_untold(&state, state.models.get(key)?, now)
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
        self.looks(self.now())
    }

    fn count(&self) {
        let now = self.now();
        let state = self.state();
        let counts = state.models.values().map(|model| model.counts(now));
        let (fresh, stale) = counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        self.0.metrics.replicas(fresh, stale);
    }

    /// The models to be looked at, which are noted as such: those with news, and those of which what
    /// people are told is so no more.
    fn looks(&self, now: Duration) -> Looks {
        let mut state = self.state();
        let models = state.models.iter();
        let mut due: Vec<(Duration, ModelKey)> = models
            .filter_map(|(key, model)| {
                let news = model.look_due(now);
                let other = || {
                    let shown = self.why_untold(&state, model, now);
                    (shown != model.untold).then_some(now)
                };
                Some((news.or_else(other)?, key.clone()))
            })
            .collect();
        due.sort_unstable();
        due.truncate(LOOKS);
        for (_, key) in &due {
            if let Some(model) = state.models.get_mut(key) {
                model.looked(now);
            }
            self.shown(&mut state, key, now);
        }
        Looks::Of(due.into_iter().map(|(_, key)| key).collect())
    }

    /// Notes what people are told.
    fn shown(&self, state: &mut State, key: &ModelKey, now: Duration) {
        let model = state.models.get(key);
        let untold = model.and_then(|model| self.why_untold(state, model, now));
        if let Some(model) = state.models.get_mut(key) {
            model.untold = untold;
        }
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
