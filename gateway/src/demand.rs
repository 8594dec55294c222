//! Models that requests wait for: how many wait, since when, and how long such a wait takes. A
//! model at rest is woken by the first, and only requests that wait come here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::traffic::{ColdStarts, ModelRoute};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// What a caller is told where no start of the model was ever seen.
pub(crate) const UNKNOWN_START: Duration = Duration::from_secs(30);

/// All models that are, or were, waited for, by key.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    models: Arc<Mutex<HashMap<String, Model>>>,
    /// How often a first request began to wait.
    firsts: watch::Sender<u64>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Model {
    waiting: usize,
    /// When the first of those who wait came.
    since: Option<Instant>,
    starts: ColdStarts,
}

/// One request that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    demand: Demand,
    key: String,
}

impl Demand {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            models: Arc::default(),
            firsts: watch::Sender::default(),
            metrics,
        }
    }

    /// One more request waits for the model.
    pub(crate) fn wait(&self, key: &str) -> Waiting {
        let mut models = self.lock();
        let model = models.entry(key.to_owned()).or_default();
        model.waiting += 1;
        model.since.get_or_insert_with(Instant::now);
        self.metrics.waiting(key, model.waiting);
        if model.waiting == 1 {
            self.firsts.send_modify(|firsts| *firsts += 1);
        }
        Waiting {
            demand: self.clone(),
            key: key.to_owned(),
        }
    }

    /// Changes whenever a first request begins to wait for a model.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.firsts.subscribe()
    }

    /// How many requests wait for the model.
    pub(crate) fn waiting(&self, key: &str) -> usize {
        self.lock().get(key).map_or(0, |model| model.waiting)
    }

    /// The models that requests wait for.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        let models = self.lock();
        let waited = models.iter().filter(|(_, model)| model.waiting > 0);
        waited.map(|(key, _)| key.clone()).collect()
    }

    /// How long until a replica of the model is likely to be ready.
    pub(crate) fn time_left(&self, route: &ModelRoute) -> Duration {
        let known = self.known_time_left(route);
        known.unwrap_or(UNKNOWN_START)
    }

    /// The same, if anything is known of it.
    pub(crate) fn known_time_left(&self, route: &ModelRoute) -> Option<Duration> {
        let models = self.lock();
        let model = models.get(&route.key);
        let waited = model.and_then(|model| model.since);
        let waited = waited.map_or(Duration::ZERO, |since| since.elapsed());
        let none = ColdStarts::default();
        let starts = model.map_or(&none, |model| &model.starts);
        starts.left(route.cold_start, waited)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Model>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The model is awake. The first to see it tells how long that took.
    pub(crate) fn awake(self) {
        let mut models = self.demand.lock();
        if let Some(model) = models.get_mut(&self.key)
            && let Some(since) = model.since.take()
        {
            model.starts.observe(since.elapsed());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut models = self.demand.lock();
        let Some(model) = models.get_mut(&self.key) else {
            return;
        };
        model.waiting = model.waiting.saturating_sub(1);
        self.demand.metrics.waiting(&self.key, model.waiting);
        if model.waiting == 0 {
            model.since = None;
        }
    }
}
