//! What is measured of requests to the revisions that share a model's traffic, for whoever judges
//! the newer one. A model that one revision serves is not measured.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chandler_core::analysis::{Answered, Compared, Tallies, Tally};
use chandler_core::traffic::{ModelRoute, Shadow, Sign};
use http::StatusCode;
use tokio::time::Instant;

use crate::in_flight::Seat;

/// Fewest tokens after the first that tell how long one takes.
const TELLING: u64 = 4;
/// How an event begins that tells of an error in the middle of an answer.
const ERROR_EVENT: &[u8] = b"data: {\"error\"";

/// All that is counted, by model.
#[derive(Debug, Default)]
pub(crate) struct Comparisons(HashMap<String, Comparison>);

/// The counters of one model, for as long as its traffic is spread in the same way.
#[derive(Debug)]
struct Comparison {
    epoch: String,
    weights: Vec<(String, u32)>,
    counters: Counters,
}

/// By revision.
pub(crate) type Counters = BTreeMap<String, Arc<Counter>>;

/// What is counted of one revision.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Tally>);

impl Comparisons {
    /// The counters of a model as a new table has it; none if one revision has all its traffic, and nothing is asked aside.
    /// What is asked aside is counted as of the two revisions that are asked.
    pub(crate) fn of(&mut self, route: &ModelRoute) -> Counters {
        let shares = route.revisions.iter().filter(|it| it.weight > 0);
        let mut weights: Vec<_> = shares.map(|it| (it.revision.clone(), it.weight)).collect();
        if let Some(Shadow { from, to, .. }) = &route.shadow {
            weights = vec![(from.clone(), 100), (to.clone(), 0)];
        }
        if weights.len() < 2 {
            self.0.remove(&route.key);
            return Counters::default();
        }
        if let Some(known) = self.0.get(&route.key)
            && known.weights == weights
        {
            return known.counters.clone();
        }
        let counter = |(revision, _): &(String, u32)| (revision.clone(), Arc::default());
        let counters: Counters = weights.iter().map(counter).collect();
        let comparison = Comparison {
            epoch: format!("{:016x}", rand::random::<u64>()),
            weights,
            counters: counters.clone(),
        };
        self.0.insert(route.key.clone(), comparison);
        counters
    }

    /// Forgets models that the table has no more.
    pub(crate) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| is_known(key));
    }

    /// All that was counted.
    pub(crate) fn told(&self) -> Tallies {
        let compared = self.0.iter().map(|(key, comparison)| {
            let counters = comparison.counters.iter();
            let revisions = counters.map(|(name, counter)| (name.clone(), counter.told()));
            let compared = Compared {
                epoch: comparison.epoch.clone(),
                revisions: revisions.collect(),
            };
            (key.clone(), compared)
        });
        Tallies(compared.collect())
    }
}

impl Counter {
    /// A request was not answered, through no fault of its caller.
    pub(crate) fn fail(&self) {
        self.tally().fail();
    }

    /// A prompt was asked aside.
    pub(crate) fn note_alike(&self, is_alike: bool) {
        let mut tally = self.tally();
        match is_alike {
            true => tally.answered = tally.answered.saturating_add(1),
            false => tally.fail(),
        }
    }

    fn told(&self) -> Tally {
        self.tally().clone()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer from its first piece on, while it is measured. Dropped before its end, it counts for
/// nothing: its caller left.
#[derive(Debug)]
pub(crate) struct Measure(Option<Box<Measuring>>);

#[derive(Debug)]
struct Measuring {
    counter: Arc<Counter>,
    began: Instant,
    first: Instant,
    last: Instant,
    /// Events after those that came first; `None` before any came.
    events: Option<u64>,
    told_error: bool,
}

impl Measure {
    /// Of an answer whose first piece has come by `now`, from the replica at `seat`, which was asked at
    /// `began`. Here and below the clock is read if there is something to measure alone.
    pub(crate) fn of(seat: &Seat, began: Instant, now: impl FnOnce() -> Instant) -> Self {
        let counter = seat.counter.as_ref().map(Arc::clone);
        Self(counter.map(|counter| {
            let now = now();
            Box::new(Measuring {
                counter,
                began,
                first: now,
                last: now,
                events: None,
                told_error: false,
            })
        }))
    }

    /// Whole events came.
    pub(crate) fn events(&mut self, events: &Bytes, now: impl FnOnce() -> Instant) {
        let Some(measuring) = &mut self.0 else {
            return;
        };
        measuring.told_error |= events
            .windows(ERROR_EVENT.len())
            .any(|it| it == ERROR_EVENT);
        let Some(count) = &mut measuring.events else {
            measuring.events = Some(0);
            return;
        };
        let ends = events.windows(2).filter(|it| *it == b"\n\n").count();
        *count += ends as u64;
        measuring.last = now();
    }

    /// All of the answer has come.
    pub(crate) fn complete(&mut self, status: StatusCode, now: impl FnOnce() -> Instant) {
        let Some(measuring) = self.0.take() else {
            return;
        };
        if measuring.told_error || Sign::of_status(status.as_u16()) == Sign::Failed {
            measuring.counter.fail();
        } else if status.is_success() {
            let answered = measuring.answered(now());
            measuring.counter.tally().note(&answered);
        }
    }

    /// The answer broke off.
    pub(crate) fn cut(&mut self) {
        if let Some(measuring) = self.0.take() {
            measuring.counter.fail();
        }
    }
}

impl Measuring {
    fn answered(&self, now: Instant) -> Answered {
        let since = |moment: Instant, from: Instant| {
            let length = moment.saturating_duration_since(from);
            length.as_secs_f64()
        };
        let events = self.events.filter(|count| *count >= TELLING);
        Answered {
            first_token: since(self.first, self.began),
            latency: since(now, self.began),
            token_time: events.map(|count| since(self.last, self.first) / count as f64),
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
