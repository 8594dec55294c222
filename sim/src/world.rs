//! The simulated world: revisions, their replicas and requests, and what befalls them.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::time::Duration;

use chandler_core::decide::Action;
use chandler_core::load::Trail;
use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::{LockedFile, ModelLock};
use jiff::Timestamp;

use crate::clock::{START, after};
use crate::fault::{Faults, Step};
use crate::gateways::{Door, Gateways};
use crate::replica::Replica;
use crate::revision::Revision;

/// A world that exists in memory and moves in virtual time.
#[derive(Clone, Debug)]
pub struct SimWorld {
    /// What is made to fail.
    pub faults: Faults,
    /// From a replica's start until it is ready.
    pub start_delay: Duration,
    /// Whether requests in flight can be told.
    pub counts_requests: bool,
    now: Timestamp,
    revisions: BTreeMap<String, Revision>,
    weights: Weights,
    gateways: Gateways,
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
            revisions: BTreeMap::new(),
            weights: Weights::new(),
            gateways: Gateways::default(),
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
        Snapshot {
            revisions: revisions
                .map(|(name, revision)| (name.clone(), self.seen(revision)))
                .collect(),
            weights: self.weights.clone(),
            gateways: self.gateways.seen(self.now),
            trail: Trail::default(),
            untold: None,
        }
    }

    /// What there is of gateways from now on.
    pub fn set_door(&mut self, door: Door) {
        self.gateways.door = door;
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
        (self.gateways.door != Door::None).then(|| self.gateways.waiting())
    }

    /// How long no request has come, if everyone who knows tells it.
    #[must_use]
    pub fn rested(&self) -> Option<Duration> {
        let told = matches!(self.gateways.door, Door::Open | Door::Keyed);
        let revisions = self.revisions.values();
        let idle = revisions.map(|revision| revision.rested(self.now));
        told.then(|| idle.fold(self.gateways.idle(self.now), Duration::min))
    }

    /// Who waits goes to a revision that has traffic and a ready replica, if there is one.
    fn send(&mut self) {
        let weighted = self.weights.iter().filter(|(_, weight)| **weight > 0);
        for (name, _) in weighted {
            if let Some(revision) = self.revisions.get_mut(name)
                && revision.is_ready()
            {
                let now = self.now;
                let ends = self.gateways.send(|length| after(now, length));
                return revision.take(ends);
            }
        }
    }

    /// Requests of a revision in flight.
    #[must_use]
    pub fn in_flight(&self, revision: &str) -> usize {
        let revision = self.revisions.get(revision);
        revision.map_or(0, |revision| revision.requests.len())
    }

    /// When something changes next by itself.
    #[must_use]
    pub fn next_event(&self) -> Option<Timestamp> {
        let revisions = self.revisions.values();
        revisions
            .flat_map(|revision| {
                let replicas = revision.replicas.iter().filter_map(Replica::next);
                replicas.chain(revision.requests.iter().copied())
            })
            .min()
    }

    /// Moves the clock to `at`, never back, and lets happen what is due by then.
    pub fn advance_to(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        while self.next_event().is_some_and(|next| next <= self.now) {
            for revision in self.revisions.values_mut() {
                revision.requests.retain(|end| *end > self.now);
                for replica in &mut revision.replicas {
                    replica.step(self.now, self.start_delay, &mut self.faults);
                }
            }
        }
        self.send();
    }

    /// Ends up to `count` ready replicas of a revision; gives how many.
    pub fn crash(&mut self, revision: &str, count: usize) -> usize {
        let Some(revision) = self.revisions.get_mut(revision) else {
            return 0;
        };
        let ready = revision.replicas.iter_mut().filter(|it| it.is_ready());
        ready.take(count).map(|it| it.crash(self.now)).count()
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
        std::mem::take(&mut self.dead)
    }

    /// Requests lost since this was last asked.
    pub(crate) fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn seen(&self, revision: &Revision) -> RevisionSeen {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let replicas = &revision.replicas;
        RevisionSeen {
            desired: count(replicas.len()),
            ready: count(replicas.iter().filter(|it| it.is_ready()).count()),
            in_flight: self
                .counts_requests
                .then_some(revision.requests.len() as u64),
            idle: revision.idle(self.now),
            load: None,
            drifted: revision.drifted,
            failure: replicas.iter().find_map(Replica::failure).cloned(),
        }
    }

    fn try_action(&mut self, action: &Action) -> Result<Outcome, Failure> {
        if let Some(failure) = self.faults.take(Step::from(action)) {
            return Err(failure);
        }
        match action {
            Action::Resolve { source, .. } => return Ok(Outcome::Resolved(lock(source))),
            Action::EnsureRevision {
                revision, replicas, ..
            } => self.create(revision, *replicas)?,
            Action::Scale { revision, from, to } => self.scale(revision, *from, *to)?,
            Action::Mend { revision, .. } => self.mend(revision)?,
            Action::Probe { revision } => self.probe(revision)?,
            Action::SetTraffic { from, to } => self.set_traffic(from, to)?,
            Action::Retire { revision } => self.retire(revision)?,
        }
        Ok(Outcome::Done)
    }

    fn create(&mut self, name: &str, replicas: u32) -> Result<(), Failure> {
        if self.revisions.contains_key(name) {
            return Err(conflict("the revision is there already"));
        }
        let mut revision = Revision::new(self.now);
        revision.resize(name, replicas, self.now, self.start_delay);
        self.revisions.insert(name.to_owned(), revision);
        Ok(())
    }

    fn scale(&mut self, name: &str, from: u32, to: u32) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        if revision.replicas.len() != from as usize {
            return Err(conflict("the count is another by now"));
        }
        revision.resize(name, to, self.now, self.start_delay);
        Ok(())
    }

    fn mend(&mut self, name: &str) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        revision.drifted = false;
        Ok(())
    }

    fn probe(&mut self, name: &str) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        if revision.is_ready() {
            revision.probed(self.now);
            Ok(())
        } else {
            Err(conflict("no replica is ready"))
        }
    }

    fn set_traffic(&mut self, from: &Weights, to: &Weights) -> Result<(), Failure> {
        if self.weights != *from {
            return Err(conflict("the weights are others by now"));
        }
        let weight = |weights: &Weights, name| weights.get(name).copied().unwrap_or(0);
        for (name, revision) in &mut self.revisions {
            if weight(from, name) > 0 && weight(to, name) == 0 {
                revision.shut_since = self.now;
            }
        }
        self.weights.clone_from(to);
        self.send();
        Ok(())
    }

    fn retire(&mut self, name: &str) -> Result<(), Failure> {
        if self.weights.get(name).is_some_and(|weight| *weight > 0) {
            return Err(conflict("the revision has traffic"));
        }
        let revision = self.revisions.remove(name).ok_or_else(missing)?;
        if !revision.requests.is_empty() {
            self.lost.push(Lost {
                revision: name.to_owned(),
                requests: revision.requests.len(),
                shut_since: revision.shut_since,
            });
        }
        Ok(())
    }
}

impl World for SimWorld {
    fn observe(
        &mut self,
        _key: &ModelKey,
    ) -> impl Future<Output = Result<Snapshot, Failure>> + Send {
        ready(match self.faults.take(Step::Observe) {
            Some(failure) => Err(failure),
            None => Ok(self.snapshot()),
        })
    }

    fn perform(
        &mut self,
        _key: &ModelKey,
        action: &Action,
    ) -> impl Future<Output = Outcome> + Send {
        let mut dies = false;
        if let Some(death) = &mut self.death {
            let (Death::Before(left) | Death::After(left)) = death;
            *left = left.saturating_sub(1);
            if *left == 0 {
                dies = true;
                self.dead |= matches!(death, Death::Before(_));
                self.death = None;
            }
        }
        let outcome = if self.dead {
            Err(conflict("the operator is dead"))
        } else {
            self.try_action(action)
        };
        self.dead |= dies;
        ready(outcome.unwrap_or_else(Outcome::Failed))
    }
}

fn conflict(message: &str) -> Failure {
    Failure {
        reason: "Conflict".to_owned(),
        message: message.to_owned(),
        transient: true,
    }
}

fn missing() -> Failure {
    Failure {
        reason: "NotFound".to_owned(),
        message: "there is no such revision".to_owned(),
        transient: true,
    }
}

/// The files of a source that exists nowhere.
fn lock(source: &str) -> ModelLock {
    ModelLock {
        source: source.to_owned(),
        commit: None,
        files: vec![LockedFile {
            path: "model.safetensors".to_owned(),
            size: 1_000_000,
            sha256: "0".repeat(64),
        }],
    }
}
