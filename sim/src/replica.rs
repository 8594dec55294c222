//! One simulated replica: it starts for a while, is ready, and when it ends it waits its backoff
//! and starts again.

use std::time::Duration;

use chandler_core::retry::{HEALTHY_AFTER, RESTART};
use chandler_core::snapshot::FailureSeen;
use chandler_core::world::Failure;
use jiff::Timestamp;

use crate::clock::after;
use crate::fault::{Faults, Step};

#[derive(Clone, Debug)]
pub(crate) struct Replica {
    /// No other one has it; it spreads its backoff from that of others.
    name: String,
    state: State,
    failure: Option<FailureSeen>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No place is free for it.
    Unplaced,
    Starting {
        until: Timestamp,
    },
    Ready {
        since: Timestamp,
    },
    Backoff {
        until: Timestamp,
    },
}

impl Replica {
    /// One that has no place yet.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            state: State::Unplaced,
            failure: None,
        }
    }

    /// Gives it a place, where it starts.
    pub(crate) fn place(&mut self, now: Timestamp, start_delay: Duration) {
        self.failure = None;
        self.state = State::Starting {
            until: after(now, start_delay),
        };
    }

    /// Tells why it has no place.
    pub(crate) fn wait(&mut self, now: Timestamp, why: &Failure) {
        let before = self.failure.as_ref();
        let same = before.filter(|it| it.reason == why.reason && it.message == why.message);
        let at = same.map_or(now, |it| it.at);
        self.failure = Some(seen(why, 1, at));
    }

    pub(crate) fn has_place(&self) -> bool {
        !matches!(self.state, State::Unplaced)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Since when it is ready, if it is.
    pub(crate) fn ready_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Ready { since } => Some(since),
            State::Unplaced | State::Starting { .. } | State::Backoff { .. } => None,
        }
    }

    /// Why it is not ready, if it failed.
    pub(crate) fn failure(&self) -> Option<&FailureSeen> {
        self.failure.as_ref().filter(|_| !self.is_ready())
    }

    /// When it changes next by itself.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        match self.state {
            State::Starting { until } | State::Backoff { until } => Some(until),
            State::Unplaced | State::Ready { .. } => None,
        }
    }

    /// Makes the one change that is due by `now`, if one is.
    pub(crate) fn step(&mut self, now: Timestamp, start_delay: Duration, faults: &mut Faults) {
        match self.state {
            State::Starting { until } if until <= now => match faults.take(Step::Start) {
                Some(failure) => self.fail(until, &failure),
                None => self.state = State::Ready { since: until },
            },
            State::Backoff { until } if until <= now => {
                self.state = State::Starting {
                    until: after(until, start_delay),
                };
            }
            _ => {}
        }
    }

    /// Ends it from without.
    pub(crate) fn crash(&mut self, now: Timestamp) {
        if let State::Ready { since } = self.state
            && after(since, HEALTHY_AFTER) <= now
        {
            self.failure = None;
        }
        let failure = Failure {
            reason: "Crashed".to_owned(),
            message: "the replica ended by itself".to_owned(),
            transient: true,
        };
        self.fail(now, &failure);
    }

    fn fail(&mut self, at: Timestamp, failure: &Failure) {
        let before = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let attempts = before.saturating_add(1);
        self.failure = Some(seen(failure, attempts, at));
        self.state = State::Backoff {
            until: after(at, RESTART.delay(attempts, &self.name)),
        };
    }
}

fn seen(failure: &Failure, attempts: u32, at: Timestamp) -> FailureSeen {
    FailureSeen {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        attempts,
        at,
        transient: failure.transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::START;
    use crate::fault::Fault;

    const DELAY: Duration = Duration::from_secs(5);

    #[test]
    fn a_failed_start_is_tried_again_later_and_later() {
        let mut faults = Faults::default();
        let failure = Failure {
            reason: "OutOfMemory".to_owned(),
            message: "no room".to_owned(),
            transient: true,
        };
        faults.set(
            Step::Start,
            Fault {
                failure,
                left: Some(2),
            },
        );
        let mut replica = Replica::new("r-0".to_owned());
        replica.place(START, DELAY);
        let mut waits = Vec::new();
        while let Some(next) = replica.next() {
            replica.step(next, DELAY, &mut faults);
            if let State::Backoff { until } = replica.state {
                waits.push(until.duration_since(next));
            }
        }
        assert!(replica.is_ready() && replica.failure().is_none());
        assert_eq!(waits.len(), 2);
        assert!(waits[1] > waits[0]);
    }

    #[test]
    fn long_health_wipes_the_record() {
        let mut replica = Replica::new("r-0".to_owned());
        replica.place(START, Duration::ZERO);
        let mut faults = Faults::default();
        for (health, attempts) in [(1, 1), (1, 2), (60, 1)] {
            while let Some(next) = replica.next() {
                replica.step(next, Duration::ZERO, &mut faults);
            }
            let State::Ready { since } = replica.state else {
                panic!("not ready: {replica:?}");
            };
            replica.crash(after(since, Duration::from_secs(health)));
            assert_eq!(replica.failure().map(|seen| seen.attempts), Some(attempts));
        }
    }
}
