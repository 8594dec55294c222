//! The replicas of models that follow their load, asked each second by the operator that leads what
//! they measure.
//!
//! ```text
//! a turn: replicas ──► follow: ask each ──► series ──► a turn's snapshot
//!                                              └─────► who is looked at soon
//! ```

mod model;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::load::{LoadSeen, Reading, Trail};
use chandler_core::validate::ModelKey;
use chandler_probe::{Client, idle, reading};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::looks::{Looks, in_rounds};
use crate::metrics::Metrics;

use self::model::{Model, Told};

pub use self::model::Replica;

/// The longest that a replica is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Questions at one time.
const AT_ONCE: usize = 64;
/// Looks that a round asks for at most, those first that are overdue most: a turn lists a model's
/// objects, and an API server has other things to do.
const LOOKS: usize = 16;
/// Questions in a row that come to nothing before people are told.
const TELL_AFTER: u32 = 3;

/// What replicas tell. Copies share it.
#[derive(Clone, Debug)]
pub struct Scraper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    metrics: Metrics,
    /// Moments are told as the time since then.
    origin: Instant,
    models: Mutex<BTreeMap<ModelKey, Model>>,
}

/// What became of a question.
#[derive(Debug)]
enum Answer {
    /// All that a reading needs.
    Told(Told),
    /// Metrics that are not those of a replica, or that can't be.
    Odd,
    /// None.
    Silent(chandler_probe::Failed),
}

impl Scraper {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            client,
            metrics,
            origin: Instant::now(),
            models: Mutex::default(),
        }))
    }

    /// From now on asks these replicas of a model, and no others of it.
    pub fn register(&self, key: &ModelKey, replicas: Vec<Replica>) {
        let now = self.now();
        let mut models = self.models();
        models.entry(key.clone()).or_default().set(replicas, now);
    }

    /// Asks no replica of a model any more, and forgets what they told.
    pub fn forget(&self, key: &ModelKey) {
        self.models().remove(key);
    }

    /// Forgets all: another process asks.
    pub fn forget_all(&self) {
        self.models().clear();
        self.0.metrics.replicas(0, 0);
    }

    /// The load of a revision; `None` if none of its replicas told lately.
    #[must_use]
    pub fn load(&self, key: &ModelKey, revision: &str) -> Option<LoadSeen> {
        let now = self.now();
        self.models().get(key)?.load(revision, now)
    }

    /// What was asked of a model lately.
    #[must_use]
    pub fn trail(&self, key: &ModelKey) -> Trail {
        let now = self.now();
        let models = self.models();
        let model = models.get(key);
        model.map(|model| model.trail(now)).unwrap_or_default()
    }

    /// How long none of a revision's replicas had had a request when they told; `None` unless each
    /// told lately.
    #[must_use]
    pub fn idle(&self, key: &ModelKey, revision: &str) -> Option<Duration> {
        let now = self.now();
        self.models().get(key)?.idle(revision, now)
    }

    /// Asks again and again, until nobody takes the looks.
    pub async fn follow(&self, looks: &mpsc::Sender<Looks>) {
        in_rounds(looks, || self.round()).await;
    }

    /// Gives the models to be looked at.
    async fn round(&self) -> Looks {
        self.ask_all().await;
        self.count();
        self.looks(self.now())
    }

    /// Asks everyone whose turn it is.
    async fn ask_all(&self) {
        let due = self.due();
        let questions = stream::iter(due).map(async |(key, replica)| {
            let answer = self.ask(&replica).await;
            self.note(&key, &replica, answer);
        });
        questions.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Who is to be asked, of the models that are still there.
    fn due(&self) -> Vec<(ModelKey, Replica)> {
        let mut due = Vec::new();
        let mut models = self.models();
        models.retain(|key, _| !self.0.metrics.ledger().is_gone(key));
        for (key, model) in models.iter_mut() {
            due.extend(model.due().into_iter().map(|it| (key.clone(), it)));
        }
        due
    }

    async fn ask(&self, replica: &Replica) -> Answer {
        match self.0.client.metrics(replica.address, ANSWER_TIME).await {
            Ok(told) => match reading(&told).filter(Reading::is_plausible) {
                Some(reading) => Answer::Told(Told {
                    reading,
                    idle: idle(&told),
                }),
                None => Answer::Odd,
            },
            Err(error) => Answer::Silent(error),
        }
    }

    /// Notes an answer as it comes, so that nobody's numbers wait for another's.
    fn note(&self, key: &ModelKey, replica: &Replica, answer: Answer) {
        self.0.metrics.scrape(answer.outcome());
        let why = answer.why();
        let told = answer.told();
        let now = self.now();
        let mut models = self.models();
        let model = models.get_mut(key);
        let misses = model.map_or(0, |model| model.note(replica, told, now));
        if misses == TELL_AFTER {
            let (address, error) = (replica.address, why);
            tracing::warn!(model = %key, %address, error, "a replica does not tell its load");
        }
    }

    fn count(&self) {
        let now = self.now();
        let counts = self.models();
        let counts = counts.values().map(|model| model.counts(now));
        let (fresh, stale) = counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        self.0.metrics.replicas(fresh, stale);
    }

    /// The models to be looked at, which are noted as such.
    fn looks(&self, now: Duration) -> Looks {
        let mut models = self.models();
        let mut due: Vec<(Duration, ModelKey)> = models
            .iter()
            .filter_map(|(key, model)| Some((model.look_due(now)?, key.clone())))
            .collect();
        due.sort_unstable();
        due.truncate(LOOKS);
        for (_, key) in &due {
            if let Some(model) = models.get_mut(key) {
                model.looked(now);
            }
        }
        Looks::Of(due.into_iter().map(|(_, key)| key).collect())
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<ModelKey, Model>> {
        let models = &self.0.models;
        models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn told(self) -> Option<Told> {
        match self {
            Self::Told(told) => Some(told),
            Self::Odd | Self::Silent(_) => None,
        }
    }

    /// Its label in metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Told(_) => "told",
            Self::Odd => "odd",
            Self::Silent(_) => "failed",
        }
    }

    /// Why nothing was told.
    fn why(&self) -> String {
        match self {
            Self::Told(_) => String::new(),
            Self::Odd => "its metrics are not those of a replica".to_owned(),
            Self::Silent(error) => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
