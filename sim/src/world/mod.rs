//! The simulated world: revisions, their replicas and requests, and what befalls them.

mod answers;
mod load;
mod perform;
mod places;

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_core::analysis::Trials;
pub(crate) use perform::lock;
pub use places::Places;

use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_core::validate::ModelKey;
use jiff::Timestamp;

use crate::clock::{START, after};
use crate::fault::Faults;
use crate::gateways::{Door, Gateways};
use crate::replica::Replica;
use crate::revision::Revision;
use crate::scrapes::{Scrapes, Silent};
use crate::traffic::Callers;
use answers::Answers;

/// A world that exists in memory and moves in virtual time.
#[derive(Debug)]
pub struct SimWorld {
    /// What is made to fail.
    pub faults: Faults,
    /// From a replica's start until it is ready.
    pub start_delay: Duration,
    /// Whether requests in flight can be told.
    pub counts_requests: bool,
    now: Timestamp,
    /// The model's, once an operator has looked.
    key: Option<ModelKey>,
    revisions: BTreeMap<String, Revision>,
    /// Where replicas may be; `None` if there is room for any number.
    places: Option<Places>,
    weights: Weights,
    gateways: Gateways,
    /// Those who ask steadily, once any have.
    callers: Option<Callers>,
    silent: Silent,
    /// Since when those are.
    silent_since: Timestamp,
    /// What the operator was told of the load, while it goes by that.
    scrapes: Option<Scrapes>,
    /// What the operator compares of canaries' traffic, and when it asks next.
    trials: Trials,
    next_tallies: Timestamp,
    /// Whether a comparison has come to a verdict that no turn saw yet.
    judged: bool,
    answers: Answers,
    /// When the operator dies, if it shall.
    death: Option<Death>,
    dead: bool,
    lost: Vec<Lost>,
}

/// At which of its actions from now the operator dies, 1 for the next. What it did in that turn
/// is done and not noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Just before it.
    Before(u32),
    /// Just after it.
    After(u32),
}

/// Requests that ended with their revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The revision.
    pub revision: String,
    /// How many.
    pub requests: usize,
    /// Since when no more had come.
    pub shut_since: Timestamp,
}

impl Default for SimWorld {
    fn default() -> Self {
        Self {
            faults: Faults::default(),
            start_delay: Duration::from_secs(5),
            counts_requests: true,
            now: START,
            key: None,
            revisions: BTreeMap::new(),
            places: None,
            weights: Weights::new(),
            gateways: Gateways::default(),
            callers: None,
            silent: Silent::None,
            silent_since: START,
            scrapes: None,
            trials: Trials::default(),
            next_tallies: START,
            judged: false,
            answers: Answers::default(),
            death: None,
            dead: false,
            lost: Vec::new(),
        }
    }
}

impl SimWorld {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What is there now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let revisions = self.revisions.iter();
        let scrapes = self.scrapes.as_ref();
        Snapshot {
            revisions: revisions
                .map(|(name, revision)| (name.clone(), self.seen(name, revision)))
                .collect(),
            weights: self.weights.clone(),
            gateways: self.gateways_seen(),
            trail: scrapes.map(|it| it.trail(self.now)).unwrap_or_default(),
            trial: None,
            untold: None,
            room: self.room(),
        }
    }

    /// What there is of gateways from now on.
    pub fn set_door(&mut self, door: Door) {
        self.gateways.door = door;
        self.meet();
    }

    /// Lets requests that take `length` each come to the gateways, where they wait for a replica
    /// that has traffic; gives whether there is a gateway.
    pub fn arrive(&mut self, count: usize, length: Duration) -> bool {
        let is_there = self.gateways.door != Door::None;
        if is_there {
            self.gateways.arrive(count, length);
            self.send();
        }
        is_there
    }

    /// Requests that wait at the gateways, if there are any gateways.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        let held = self.callers.as_ref().map_or(0, Callers::held);
        (self.gateways.door != Door::None).then(|| self.gateways.waiting() + held)
    }

    /// How long no request has come, if everyone who knows tells it.
    #[must_use]
    pub fn rested(&self) -> Option<Duration> {
        let told = matches!(self.gateways.door, Door::Open | Door::Keyed);
        let revisions = self.revisions.values();
        let idle = revisions.map(|revision| revision.rested(self.now));
        let callers = self.callers.iter().map(|it| it.idle(self.now));
        let gateways = self.gateways.idle(self.now);
        told.then(|| idle.chain(callers).fold(gateways, Duration::min))
    }

    /// Who waits goes to a revision that has traffic and a ready replica, if there is one.
    fn send(&mut self) {
        if let Some(revision) = self.route().and_then(|name| self.revisions.get_mut(&name)) {
            let now = self.now;
            revision.take(self.gateways.send(|length| after(now, length)));
        }
    }

    /// Requests of a revision in flight.
    #[must_use]
    pub fn in_flight(&self, revision: &str) -> usize {
        let callers = self.callers.as_ref();
        let called = callers.map_or(0, |callers| callers.in_flight(revision));
        let there = self.revisions.get(revision);
        there.map_or(0, |there| there.requests.len() + called)
    }

    /// When something changes next by itself.
    #[must_use]
    pub fn next_event(&self) -> Option<Timestamp> {
        let revisions = self.revisions.values().flat_map(|revision| {
            let replicas = revision.replicas.iter().filter_map(Replica::next);
            replicas.chain(revision.requests.iter().copied())
        });
        revisions.chain(self.answers.next(self.now)).min()
    }

    /// What the answers of a revision are worth from now on; those of others are worth 1.
    pub fn set_answers(&mut self, revision: &str, score: f64) {
        self.answers.set(revision, score);
    }

    /// Moves the clock to `at`, never back, and lets happen what is due by then.
    pub fn advance_to(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        if let Some(callers) = &mut self.callers {
            callers.advance_to(self.now);
        }
        while self.next_event().is_some_and(|next| next <= self.now) {
            for revision in self.revisions.values_mut() {
                revision.requests.retain(|end| *end > self.now);
                for replica in &mut revision.replicas {
                    replica.step(self.now, self.start_delay, &mut self.faults);
                }
            }
        }
        self.send();
        self.meet();
        self.ask();
        self.compare();
    }

    /// Ends up to `count` ready replicas of a revision; gives how many.
    pub fn crash(&mut self, revision: &str, count: usize) -> usize {
        let there = self.revisions.get_mut(revision);
        let replicas = there.into_iter().flat_map(|it| &mut it.replicas);
        let ready = replicas.filter(|it| it.is_ready()).take(count);
        let crashed = ready.map(|it| it.crash(self.now)).count();
        self.meet();
        crashed
    }

    /// Lets someone else change what a revision is made of; gives whether it is there.
    pub fn drift(&mut self, revision: &str) -> bool {
        let revision = self.revisions.get_mut(revision);
        revision.map(|revision| revision.drifted = true).is_some()
    }

    /// Sends requests that each take `length`; gives whether a replica was ready for them.
    pub fn request(&mut self, revision: &str, count: usize, length: Duration) -> bool {
        let end = after(self.now, length);
        match self.revisions.get_mut(revision) {
            Some(revision) if revision.is_ready() => {
                revision.take(std::iter::repeat_n(end, count));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn die(&mut self, death: Death) {
        self.death = Some(death);
    }

    /// Whether the operator died since this was last asked.
    pub(crate) fn take_death(&mut self) -> bool {
        if self.dead {
            // What it had compared was in its process.
            self.trials = Trials::default();
        }
        std::mem::take(&mut self.dead)
    }

    /// Requests lost since this was last asked.
    pub(crate) fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn seen(&self, name: &str, revision: &Revision) -> RevisionSeen {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let replicas = &revision.replicas;
        let scrapes = self.scrapes.as_ref();
        RevisionSeen {
            desired: count(replicas.len()),
            ready: count(replicas.iter().filter(|it| it.is_ready()).count()),
            in_flight: self.counts_requests.then(|| self.in_flight(name) as u64),
            idle: self.idle(name),
            load: scrapes.and_then(|scrapes| scrapes.load(name, self.now)),
            drifted: revision.drifted,
            failure: replicas.iter().find_map(Replica::failure).cloned(),
        }
    }
}
