//! Callers of a model whose replicas another world orders: requests come evenly, and each ready
//! replica computes as a replica model says.
//!
//! A request goes to the replica that has fewest, of the revision whose turn it is by its weight. Without one it is held
//! at the gateways, where there are some, and fails else. A replica that is let go finishes what it has.
//! Who had a request at one that crashes asks again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chandler_core::analysis::Compared;
use chandler_core::load::Reading;
use chandler_core::traffic::Shadow;
use jiff::Timestamp;

use super::model::ReplicaModel;
use super::replica::{Ended, Engine, Job, Nanos};
use super::shares::Shares;
use super::tallies::{Manner, Tallies};
use super::tell::Counters;
use crate::clock::START;

/// Requests that come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calls {
    /// So many a second, above 0.
    pub per_second: f64,
    /// Tokens of each one's prompt.
    pub prompt_tokens: u32,
    /// Tokens of each one's answer, at least 1.
    pub generated_tokens: u32,
}

/// A replica that there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct There<'a> {
    pub(crate) revision: &'a str,
    /// No other one ever has it.
    pub(crate) name: &'a str,
    pub(crate) is_ready: bool,
}

/// Who asks, and the replicas that answer.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    model: Arc<ReplicaModel>,
    /// What comes, and when the next one does.
    calls: Option<(Calls, Nanos)>,
    replicas: Vec<Replica>,
    /// The revisions that have traffic and a ready replica.
    shares: Shares,
    /// What the gateways count of them.
    tallies: Tallies,
    has_gateways: bool,
    held: VecDeque<Job>,
    /// When a request last was at the gateways, or at a replica.
    busy_until: Nanos,
    made: u32,
    failed: u64,
}

#[derive(Debug)]
struct Replica {
    revision: String,
    name: String,
    /// It is let go: it takes no more.
    leaves: bool,
    engine: Engine,
    counters: Counters,
    /// When the first token of those that write was written.
    first: BTreeMap<u32, Nanos>,
    busy_until: Nanos,
}

impl Callers {
    /// From now on these come, in place of those before.
    pub(crate) fn call(&mut self, calls: Option<Calls>, now: Timestamp) {
        self.calls = calls.map(|calls| (calls, nanos(now)));
    }

    /// Takes note of which replicas there are, and to which revisions requests go.
    pub(crate) fn meet(
        &mut self,
        there: &[There<'_>],
        weights: BTreeMap<String, u32>,
        has_gateways: bool,
        now: Timestamp,
    ) {
        self.tallies.set(&weights, nanos(now));
        self.shares.set(weights);
        self.has_gateways = has_gateways;
        let mut spilt = Vec::new();
        for replica in &mut self.replicas {
            match there.iter().find(|it| it.name == replica.name) {
                Some(it) if it.is_ready => {}
                Some(_) => {
                    for job in replica.crash() {
                        self.tallies.lost(&replica.revision, &job);
                        spilt.push(job);
                    }
                }
                None => replica.leaves = true,
            }
        }
        for it in there.iter().filter(|it| it.is_ready) {
            if !self.replicas.iter().any(|known| known.name == it.name) {
                let slowness = self.tallies.manner(it.revision).slowness;
                let engine = Engine::new(Arc::clone(&self.model), slowness);
                self.replicas.push(Replica::new(it, engine, nanos(now)));
            }
        }
        self.forget_gone();
        let held = std::mem::take(&mut self.held);
        for job in spilt.into_iter().chain(held) {
            self.send(job, nanos(now));
        }
    }

    /// Lets come and be computed what is due by `until`.
    pub(crate) fn advance_to(&mut self, until: Timestamp) {
        let until = nanos(until);
        loop {
            let comes = self.calls.map(|(_, at)| at);
            let ends = self.replicas.iter().filter_map(|it| it.engine.end()).min();
            let Some(next) = comes.into_iter().chain(ends).min() else {
                return;
            };
            if next > until {
                return;
            }
            if ends == Some(next) {
                self.finish(next);
            } else {
                self.take_next(next);
            }
        }
    }

    fn finish(&mut self, now: Nanos) {
        for replica in &mut self.replicas {
            if replica.engine.end() == Some(now) {
                for (job, first) in replica.finish(now) {
                    let well = self.tallies.answered(&replica.revision, &job, first, now);
                    self.failed += u64::from(!well);
                }
                self.busy_until = now;
            }
        }
        self.forget_gone();
    }

    /// The next request comes.
    fn take_next(&mut self, now: Nanos) {
        let Some((calls, next)) = &mut self.calls else {
            return;
        };
        let wait = Duration::try_from_secs_f64(1.0 / calls.per_second);
        let wait = u64::try_from(wait.unwrap_or(Duration::MAX).as_nanos());
        *next = next.saturating_add(wait.unwrap_or(u64::MAX).max(1));
        let job = Job {
            id: self.made,
            prompt: calls.prompt_tokens,
            answer: calls.generated_tokens.max(1),
            came: now,
            sent: now,
        };
        self.made = self.made.wrapping_add(1);
        self.busy_until = now;
        self.send(job, now);
    }

    fn send(&mut self, mut job: Job, now: Nanos) {
        job.sent = now;
        let revision = self.shares.next();
        let open = self.replicas.iter_mut();
        let open = open.filter(|it| !it.leaves && Some(&it.revision) == revision.as_ref());
        let done = match open.min_by_key(|it| it.engine.in_flight()) {
            Some(replica) => replica.take(job, now),
            None if self.has_gateways => {
                self.held.push_back(job);
                true
            }
            None => false,
        };
        self.failed += u64::from(!done);
    }

    fn forget_gone(&mut self) {
        self.replicas
            .retain(|it| !it.leaves || it.engine.in_flight() > 0);
    }

    /// A revision is gone with its replicas; gives how many requests that ends. Replicas that were let go before
    /// still have the time to end theirs.
    pub(crate) fn lose(&mut self, revision: &str) -> usize {
        let has = |it: &Replica| !it.leaves && it.revision == revision;
        let of = self.replicas.iter_mut().filter(|it| has(it));
        let lost = of.map(|it| it.engine.spill().len()).sum::<usize>();
        self.replicas.retain(|it| !has(it));
        self.failed += lost as u64;
        lost
    }

    /// What a replica tells of itself, if it is ready.
    pub(crate) fn reading(&self, replica: &str, now: Timestamp) -> Option<Reading> {
        let mut ready = self.replicas.iter().filter(|it| !it.leaves);
        let found = ready.find(|it| it.name == replica)?;
        Some(found.counters.reading(&found.engine, nanos(now)))
    }

    /// From now on these prompts are asked aside.
    pub(crate) fn ask_aside(&mut self, shadow: Option<Shadow>, now: Timestamp) {
        self.tallies.ask_aside(shadow, nanos(now));
    }

    /// How a revision answers from now on.
    pub(crate) fn behave(&mut self, revision: &str, change: impl FnOnce(&mut Manner)) {
        let mut manner = self.tallies.manner(revision);
        change(&mut manner);
        self.tallies.behave(revision, manner);
        for replica in self
            .replicas
            .iter_mut()
            .filter(|it| it.revision == revision)
        {
            replica.engine.slow(manner.slowness);
        }
    }

    /// What the gateways count of revisions that share the traffic.
    pub(crate) fn compared(&self) -> Compared {
        self.tallies.told()
    }

    /// Requests that a revision's replicas have, but for those that are let go.
    pub(crate) fn in_flight(&self, revision: &str) -> usize {
        let there = self.of(revision);
        there.map(|it| it.engine.in_flight()).sum()
    }

    /// Requests that wait for a first replica.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Requests that were refused, or ended with a revision.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// How long no request has been at the gateways, nor at a replica.
    pub(crate) fn idle(&self, now: Timestamp) -> Duration {
        let busy = !self.held.is_empty() || self.replicas.iter().any(Replica::is_busy);
        since(self.busy_until, busy, now)
    }

    /// How long a revision's replicas have had none; `None` without a replica.
    pub(crate) fn idle_of(&self, revision: &str, now: Timestamp) -> Option<Duration> {
        let idle = |it: &Replica| since(it.busy_until, it.is_busy(), now);
        self.of(revision).map(idle).min()
    }

    fn of(&self, revision: &str) -> impl Iterator<Item = &Replica> {
        let there = self.replicas.iter();
        there.filter(move |it| !it.leaves && it.revision == revision)
    }
}

impl Replica {
    fn new(there: &There<'_>, engine: Engine, now: Nanos) -> Self {
        Self {
            revision: there.revision.to_owned(),
            name: there.name.to_owned(),
            leaves: false,
            engine,
            counters: Counters::default(),
            first: BTreeMap::new(),
            busy_until: now,
        }
    }

    fn is_busy(&self) -> bool {
        self.engine.in_flight() > 0
    }

    /// Whether there was room for it.
    fn take(&mut self, job: Job, now: Nanos) -> bool {
        let mut ended = Ended::default();
        let taken = self.engine.take(job, now, &mut ended).is_ok();
        self.counters.note(&ended, now);
        self.busy_until = now;
        taken
    }

    /// Ends the run; gives the requests that are answered, with when their first token was written.
    fn finish(&mut self, now: Nanos) -> Vec<(Job, Nanos)> {
        let mut ended = Ended::default();
        self.engine.finish(now, &mut ended);
        self.counters.note(&ended, now);
        self.busy_until = now;
        self.first
            .extend(ended.first.iter().map(|job| (job.id, now)));
        let first = |job: Job| (job, self.first.remove(&job.id).unwrap_or(now));
        ended.last.into_iter().map(first).collect()
    }

    /// Its process ended; gives what it had. One that is ready again begins anew.
    fn crash(&mut self) -> Vec<Job> {
        self.leaves = true;
        self.engine.spill()
    }
}

fn since(busy_until: Nanos, is_busy: bool, now: Timestamp) -> Duration {
    if is_busy {
        return Duration::ZERO;
    }
    Duration::from_nanos(nanos(now).saturating_sub(busy_until))
}

fn nanos(at: Timestamp) -> Nanos {
    u64::try_from(at.as_nanosecond() - START.as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
#[path = "callers_tests.rs"]
mod tests;
