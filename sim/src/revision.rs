//! One simulated revision: its replicas, and the requests that they have.

use std::time::Duration;

use jiff::Timestamp;

use crate::gateways::since;
use crate::replica::Replica;

#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) replicas: Vec<Replica>,
    /// Replicas made so far, for names that are not used again.
    made: usize,
    /// Ends of the requests in flight.
    pub(crate) requests: Vec<Timestamp>,
    /// Since when no request has come.
    pub(crate) shut_since: Timestamp,
    /// When the last request ends, of a caller or of a probe.
    busy_until: Timestamp,
    /// Whether someone else changed what it is made of.
    pub(crate) drifted: bool,
}

impl Revision {
    /// One without replicas.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            replicas: Vec::new(),
            made: 0,
            requests: Vec::new(),
            shut_since: now,
            busy_until: now,
            drifted: false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.replicas.iter().any(Replica::is_ready)
    }

    /// A probe asks one of its replicas.
    pub(crate) fn probed(&mut self, now: Timestamp) {
        self.busy_until = self.busy_until.max(now);
    }

    /// How long no request has come, whether a replica is there to tell it or not.
    pub(crate) fn rested(&self, now: Timestamp) -> Duration {
        since(self.busy_until, now)
    }

    /// Takes requests that end then.
    pub(crate) fn take(&mut self, ends: impl IntoIterator<Item = Timestamp>) {
        for end in ends {
            self.requests.push(end);
            self.busy_until = self.busy_until.max(end);
        }
    }

    /// How long its ready replicas have had no request, if there are any.
    pub(crate) fn idle(&self, now: Timestamp) -> Option<Duration> {
        let ready = self.replicas.iter().filter_map(Replica::ready_since).max();
        ready.map(|ready| since(self.busy_until.max(ready), now))
    }

    /// Replicas that are not ready go first. New ones have no place yet.
    pub(crate) fn resize(&mut self, name: &str, to: u32) {
        while self.replicas.len() < to as usize {
            let replica = format!("{name}-{}", self.made);
            self.replicas.push(Replica::new(replica));
            self.made += 1;
        }
        while self.replicas.len() > to as usize {
            let idle = self.replicas.iter().rposition(|it| !it.is_ready());
            self.replicas
                .remove(idle.unwrap_or(self.replicas.len() - 1));
        }
    }
}
