//! The load of a simulated world: who calls, and what the operator is told of it.

use std::collections::BTreeSet;
use std::time::Duration;

use chandler_core::analysis::Tallies;
use chandler_core::snapshot::{GatewaysSeen, Weights};
use jiff::Timestamp;

use super::SimWorld;
use crate::clock::after;
use crate::gateways::{Door, since};
use crate::revision::Revision;
use crate::scrapes::{Scrapes, Silent};
use crate::traffic::{Callers, Calls, Manner, There};

/// Between two times that the operator asks the gateways.
const ROUND: Duration = Duration::from_secs(1);

impl SimWorld {
    /// From now on these requests come, or none. From the first of them on the replicas tell their
    /// load to an operator that follows it.
    pub fn call(&mut self, calls: Option<Calls>) {
        let callers = self.callers.get_or_insert_with(Callers::default);
        callers.call(calls, self.now);
        self.meet();
    }

    /// From now on what the replicas tell gets lost, or is heard again.
    pub fn silence_all(&mut self, are_silent: bool) {
        self.silent = if are_silent {
            Silent::All
        } else {
            Silent::None
        };
        self.silent_since = self.now;
    }

    /// From now on what so many ready replicas of a revision tell gets lost, and what the others tell
    /// is heard; gives how many there are.
    pub fn silence(&mut self, revision: &str, count: usize) -> usize {
        let there = self.revisions.get(revision);
        let replicas = there.into_iter().flat_map(|it| &it.replicas);
        let ready = replicas.filter(|it| it.is_ready()).take(count);
        let names: BTreeSet<String> = ready.map(|it| it.name().to_owned()).collect();
        let silent = names.len();
        (self.silent, self.silent_since) = (Silent::Of(names), self.now);
        silent
    }

    /// Requests in flight at replicas, and those that failed, if any ever came.
    #[must_use]
    pub fn served(&self) -> Option<(usize, u64)> {
        let callers = self.callers.as_ref()?;
        let in_flight = self.revisions.keys().map(|name| callers.in_flight(name));
        Some((in_flight.sum(), callers.failed()))
    }

    /// How long a ready replica of a revision has told nothing, zero if all tell.
    pub(crate) fn untold_for(&self, revision: &str) -> Duration {
        let is_silent = self
            .revisions
            .get(revision)
            .is_some_and(|it| self.is_silent(it));
        if is_silent {
            since(self.silent_since, self.now)
        } else {
            Duration::ZERO
        }
    }

    /// An operator is about to take a turn that does or does not go by the load.
    pub(crate) fn follow(&mut self, follows: bool) {
        if follows && self.callers.is_some() {
            self.scrapes.get_or_insert_with(Scrapes::default);
        } else {
            self.scrapes = None;
        }
    }

    /// From now on a revision's requests take so many times as long, or so large a share of them fails.
    /// Nothing does before any request came.
    pub fn behave(&mut self, revision: &str, change: impl FnOnce(&mut Manner)) -> bool {
        let Some(callers) = &mut self.callers else {
            return false;
        };
        callers.behave(revision, change);
        true
    }

    /// When the operator asks the replicas or the gateways next.
    pub(crate) fn next_round(&self) -> Option<Timestamp> {
        let replicas = self.scrapes.as_ref().and_then(Scrapes::next);
        let gateways = (!self.trials.is_empty()).then_some(self.next_tallies);
        replicas.into_iter().chain(gateways).min()
    }

    /// Whether what the replicas told asks for a turn.
    pub(crate) fn take_look(&mut self) -> bool {
        let scrapes = self.scrapes.as_mut();
        let judged = std::mem::take(&mut self.judged);
        scrapes.is_some_and(Scrapes::take_look) || judged
    }

    /// A turn sees which replicas are ready: they are asked from now on.
    pub(super) fn register(&mut self) {
        let ready = self.revisions.iter().flat_map(|(revision, it)| {
            let ready = it.replicas.iter().filter(|it| it.is_ready());
            ready.map(|it| (revision.clone(), it.name().to_owned()))
        });
        let ready = ready.collect();
        if let Some(scrapes) = &mut self.scrapes {
            scrapes.register(ready, self.now);
        }
    }

    /// The operator asks, if it is time.
    pub(super) fn ask(&mut self) {
        let Some(mut scrapes) = self.scrapes.take() else {
            return;
        };
        if scrapes.next().is_some_and(|next| next <= self.now) {
            let waiting = self.gateways_seen().map_or(0, |told| told.waiting);
            let tell = |name: &str| {
                let callers = self.callers.as_ref().filter(|_| self.tells(name));
                callers?.reading(name, self.now)
            };
            scrapes.round(tell, waiting, self.now);
        }
        self.scrapes = Some(scrapes);
    }

    /// The operator asks the gateways what they count of canaries, if it is time.
    pub(super) fn compare(&mut self) {
        if self.trials.is_empty() || self.next_tallies > self.now {
            return;
        }
        self.next_tallies = after(self.now, ROUND);
        let told = matches!(self.gateways.door, Door::Open | Door::Keyed);
        let callers = self.callers.as_ref().filter(|_| told);
        let Some((callers, key)) = callers.zip(self.key.as_ref()) else {
            return;
        };
        let told = [(key.to_string(), callers.compared())].into();
        let round = [("gateway".to_owned(), Tallies(told))].into();
        self.judged |= !self.trials.note(round).is_empty();
    }

    /// The callers learn which replicas there are.
    pub(super) fn meet(&mut self) {
        let Some(mut callers) = self.callers.take() else {
            return;
        };
        let there = self.revisions.iter().flat_map(|(revision, it)| {
            it.replicas.iter().map(move |it| There {
                revision,
                name: it.name(),
                is_ready: it.is_ready(),
            })
        });
        let there: Vec<There<'_>> = there.collect();
        let has_gateways = self.gateways.door != Door::None;
        callers.meet(&there, self.shares(), has_gateways, self.now);
        self.callers = Some(callers);
    }

    /// The revisions that have traffic and a ready replica, by weight.
    fn shares(&self) -> Weights {
        let is_ready = |name: &str| self.revisions.get(name).is_some_and(Revision::is_ready);
        let weighted = self.weights.iter().filter(|(_, weight)| **weight > 0);
        let ready = weighted.filter(|(name, _)| is_ready(name));
        ready
            .map(|(name, weight)| (name.clone(), *weight))
            .collect()
    }

    /// The one of them with most of the traffic.
    pub(super) fn route(&self) -> Option<String> {
        let shares = self.shares();
        let heaviest = shares.into_iter().max_by_key(|(_, weight)| *weight);
        heaviest.map(|(name, _)| name)
    }

    pub(super) fn gateways_seen(&self) -> Option<GatewaysSeen> {
        let mut seen = self.gateways.seen(self.now)?;
        let told = matches!(self.gateways.door, Door::Open | Door::Keyed);
        if let Some(callers) = self.callers.as_ref().filter(|_| told) {
            seen.waiting += callers.held() as u64;
            seen.idle = seen.idle.map(|idle| idle.min(callers.idle(self.now)));
        }
        Some(seen)
    }

    /// How long a revision's replicas have had no request, as they tell it.
    pub(super) fn idle(&self, revision: &str) -> Option<Duration> {
        let there = self.revisions.get(revision)?;
        let idle = there.idle(self.now).filter(|_| !self.is_silent(there))?;
        let callers = self.callers.as_ref();
        let other = callers.and_then(|callers| callers.idle_of(revision, self.now));
        Some(other.map_or(idle, |other| idle.min(other)))
    }

    fn is_silent(&self, revision: &Revision) -> bool {
        let mut ready = revision.replicas.iter().filter(|it| it.is_ready());
        ready.any(|it| !self.tells(it.name()))
    }

    fn tells(&self, replica: &str) -> bool {
        match &self.silent {
            Silent::None => true,
            Silent::All => false,
            Silent::Of(names) => !names.contains(replica),
        }
    }
}
