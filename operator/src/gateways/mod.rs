//! The gateways of the installation, asked each second by the operator that leads what they tell of
//! requests.
//!
//! ```text
//! follow: resolve ──► ask each ──► view ──► a turn's snapshot
//!                                   └─────► who is looked at at once
//! ```

mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::analysis::{Question, Tallies, TrialSeen, Trials};
use chandler_core::snapshot::GatewaysSeen;
use chandler_core::validate::ModelKey;
use chandler_crds::names::paths;
use chandler_probe::{Client, Sample};
use futures::future::{join, join_all};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::looks::{Looks, in_rounds};
use crate::metrics::Metrics;

pub use view::View;

/// The longest that a gateway, or its name, is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// What is older counts as not told.
const FRESH: Duration = Duration::from_secs(4);

/// What the gateways tell. Copies share it.
#[derive(Clone, Debug)]
pub struct Gateways(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Name and port at which all of them are found.
    address: String,
    client: Client,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was told last, and when.
    latest: Option<(View, Instant)>,
    /// Comparisons of canaries' traffic.
    trials: Trials,
    /// Models whose turn was not told how long they have been idle.
    unsure: BTreeSet<ModelKey>,
    heard: Option<Heard>,
}

/// How a round went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    answering: usize,
    silent: usize,
    /// Why the first that was silent was, or why none was found.
    why: Option<String>,
}

impl Gateways {
    /// Those at `address`, a name that stands for each of them and their port.
    #[must_use]
    pub fn new(address: String, client: Client, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            address,
            client,
            metrics,
            state: Mutex::default(),
        }))
    }

    /// What is told of a model.
    #[must_use]
    pub fn seen(&self, key: &ModelKey) -> GatewaysSeen {
        let state = self.state();
        let view = state.fresh();
        view.map(|view| view.seen(key)).unwrap_or_default()
    }

    /// Compares the traffic that a turn asks about, and tells what that has come to.
    pub fn compare(&self, key: &ModelKey, question: Option<&Question>) -> Option<TrialSeen> {
        self.state().trials.ask(key, question)
    }

    /// What a comparison has come to.
    #[must_use]
    pub fn compared(&self, key: &ModelKey) -> Option<TrialSeen> {
        self.state().trials.seen(key)
    }

    /// Compares the traffic of a model no more that is gone.
    pub fn gone(&self, key: &ModelKey) {
        self.state().trials.forget(key);
    }

    /// Asks for a look at a model as soon as it is told how long it has been idle.
    pub fn remind(&self, key: &ModelKey) {
        self.state().unsure.insert(key.clone());
    }

    /// Asks again and again, until nobody takes the looks.
    pub async fn follow(&self, looks: &mpsc::Sender<Looks>) {
        in_rounds(looks, || self.round()).await;
    }

    /// Forgets all: another process asks.
    pub fn forget(&self) {
        *self.state() = State::default();
        self.0.metrics.gateways(0, 0);
    }

    async fn round(&self) -> Looks {
        let found = timeout(ANSWER_TIME, lookup_host(&self.0.address)).await;
        let found = found.unwrap_or_else(|late| Err(io::Error::from(late)));
        let (addresses, lost) = match found {
            Ok(addresses) => (addresses.collect(), None),
            Err(error) => (BTreeSet::new(), Some(error.to_string())),
        };
        let ((told, why), tallies) = join(self.ask(&addresses), self.tallies(&addresses)).await;
        let why = lost.or(why);
        let none = || told.is_empty().then(|| "there is none".to_owned());
        let why = why.or_else(none);
        let answering = told.iter().flatten().count();
        self.hear(Heard {
            answering,
            silent: told.len() - answering,
            why,
        });
        let judged = self.state().trials.note(tallies);
        match self.note(&told, Instant::now()) {
            Looks::Of(mut due) => {
                due.extend(judged);
                Looks::Of(due)
            }
            Looks::All => Looks::All,
        }
    }

    /// Asks all at once; gives what each told, and why the first that did not did not.
    async fn ask(
        &self,
        addresses: &BTreeSet<SocketAddr>,
    ) -> (Vec<Option<Vec<Sample>>>, Option<String>) {
        let client = &self.0.client;
        let answers = addresses.iter().map(async |address| {
            let answer = client.metrics(*address, ANSWER_TIME).await;
            answer.map_err(|error| format!("{address}: {error}"))
        });
        let answers = join_all(answers).await;
        let failed = answers.iter().find_map(|answer| answer.as_ref().err());
        let why = failed.cloned();
        (answers.into_iter().map(Result::ok).collect(), why)
    }

    /// What each counts of revisions that share a model's traffic, while any are compared. One that
    /// does not answer tells of the time until it does.
    async fn tallies(&self, addresses: &BTreeSet<SocketAddr>) -> BTreeMap<String, Tallies> {
        if self.state().trials.is_empty() {
            return BTreeMap::new();
        }
        let client = &self.0.client;
        let answers = addresses.iter().map(async |address| {
            let answer = client.json(*address, paths::TALLIES, ANSWER_TIME).await;
            Some((address.to_string(), answer.ok()?))
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Keeps what was told; gives who is to be looked at. A round in which nobody told anything
    /// leaves what was told before to grow old.
    fn note(&self, told: &[Option<Vec<Sample>>], now: Instant) -> Looks {
        let mut state = self.state();
        if told.iter().all(Option::is_none) {
            return Looks::Of(BTreeSet::new());
        }
        let view = View::of(told);
        let nothing = View::default();
        let looks = view.looks(state.fresh().unwrap_or(&nothing), &state.unsure);
        match &looks {
            Looks::All => state.unsure.clear(),
            Looks::Of(due) => state.unsure.retain(|key| !due.contains(key)),
        }
        state.latest = Some((view, now));
        looks
    }

    /// Tells people when it is another than before.
    fn hear(&self, heard: Heard) {
        let Heard {
            answering, silent, ..
        } = heard;
        self.0.metrics.gateways(answering, silent);
        let before = self.state().heard.replace(heard.clone());
        if before.as_ref() == Some(&heard) {
            return;
        }
        match heard.why {
            None => tracing::info!(answering, "the gateways tell of requests"),
            Some(error) => {
                tracing::warn!(
                    answering,
                    silent,
                    error,
                    "gateways tell nothing of requests"
                );
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What was told last, unless that is long ago.
    fn fresh(&self) -> Option<&View> {
        let (view, at) = self.latest.as_ref()?;
        (at.elapsed() < FRESH).then_some(view)
    }
}

#[cfg(test)]
mod tests;
