//! Passive health: what became of the requests sent to a replica tells whether to send it more.

use std::time::Duration;

/// When a replica is ejected, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that eject.
    pub failures: u32,
    /// How long the first time; doubled with each further time in a row.
    pub base: Duration,
    /// Never longer than this. A replica that has stayed in for as long afterwards starts over.
    pub longest: Duration,
}

/// A trial costs one request that is sent again at worst, so the first comes soon.
pub const EJECTION: Ejection = Ejection {
    failures: 3,
    base: Duration::from_secs(2),
    longest: Duration::from_secs(60),
};

/// One replica's record. Times are since any moment that all calls share.
///
/// ```text
/// admitted ──failures in a row──► ejected ──time over, one request──► on trial
///     ▲                              ▲                                 │    │
///     │                              └── failure, for twice as long ───┘    │
///     └────────────────────────────── success ─────────────────────────────┘
/// ```
///
/// A failure is a connection that can't be made, an answer that never comes whole, or one whose
/// status is a [`Sign::Failed`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    /// Ejections in a row.
    ejections: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Admitted,
    /// Readmitted after an ejection that ended then.
    Back {
        since: Duration,
    },
    Ejected {
        until: Duration,
    },
    OnTrial {
        since: Duration,
    },
}

/// What the status of an answer tells of the replica that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It works.
    Well,
    /// It does not.
    Failed,
    /// Nothing. A 503 is its own word that it takes no requests now, and a 504 says that the
    /// caller's time was up: how much that is, is the caller's choice.
    None,
}

impl Sign {
    /// What an answer of this status tells.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            503 | 504 => Self::None,
            500..600 => Self::Failed,
            _ => Self::Well,
        }
    }
}

impl Health {
    /// Whether it is to be passed over at `now`. One whose time is over is not: it is to be tried,
    /// by whoever [`begin_trial`](Self::begin_trial) lets.
    #[must_use]
    pub fn is_ejected(&self, now: Duration) -> bool {
        match self.state {
            State::Admitted | State::Back { .. } => false,
            State::Ejected { until } => now < until,
            State::OnTrial { .. } => true,
        }
    }

    /// Until when it is to be passed over: [`Duration::ZERO`] if it is not at all,
    /// [`Duration::MAX`] while it is on trial.
    #[must_use]
    pub fn ejected_until(&self) -> Duration {
        match self.state {
            State::Admitted | State::Back { .. } => Duration::ZERO,
            State::Ejected { until } => until,
            State::OnTrial { .. } => Duration::MAX,
        }
    }

    /// Whether nothing speaks against it, so that a success changes nothing.
    #[must_use]
    pub fn is_spotless(&self) -> bool {
        self.failures == 0 && matches!(self.state, State::Admitted | State::Back { .. })
    }

    /// Makes the caller's request the one that tries an ejected replica. False if there is
    /// nothing to try, or another request tries it.
    pub fn begin_trial(&mut self, now: Duration) -> bool {
        match self.state {
            State::Ejected { until } if now >= until => {
                self.state = State::OnTrial { since: until };
                true
            }
            _ => false,
        }
    }

    /// The request that tried it came to no end that tells anything, such as a caller who left.
    /// The next may try.
    pub fn abandon_trial(&mut self) {
        if let State::OnTrial { since } = self.state {
            self.state = State::Ejected { until: since };
        }
    }

    /// It answered. Readmits it, whichever request it was: one sent while all are ejected is as
    /// good as a trial.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.state = match self.state {
            State::Ejected { until } | State::OnTrial { since: until } => {
                State::Back { since: until }
            }
            other => other,
        };
    }

    /// It failed a request. Failures of requests that were under way when it was ejected change
    /// nothing.
    pub fn failed(&mut self, now: Duration, rule: &Ejection) {
        match self.state {
            State::Admitted | State::Back { .. } => {
                self.failures += 1;
                if self.failures >= rule.failures {
                    self.eject(now, rule);
                }
            }
            State::Ejected { until } if now < until => {}
            State::Ejected { .. } | State::OnTrial { .. } => self.eject(now, rule),
        }
    }

    fn eject(&mut self, now: Duration, rule: &Ejection) {
        if let State::Back { since } = self.state
            && now.saturating_sub(since) >= rule.longest
        {
            self.ejections = 0;
        }
        let doubled = 2u32.saturating_pow(self.ejections);
        let time = rule.base.saturating_mul(doubled).min(rule.longest);
        self.failures = 0;
        self.ejections = self.ejections.saturating_add(1);
        self.state = State::Ejected {
            until: now.saturating_add(time),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: Ejection = Ejection {
        failures: 3,
        base: Duration::from_secs(2),
        longest: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One that failed `RULE.failures` times at second 0.
    fn ejected() -> Health {
        let mut health = Health::default();
        for _ in 0..RULE.failures {
            health.failed(at(0), &RULE);
        }
        health
    }

    #[test]
    fn a_status_tells_of_the_replica_unless_it_is_of_the_callers_doing() {
        for (statuses, sign) in [
            (&[200, 204, 301, 400, 404, 429, 499][..], Sign::Well),
            (&[500, 501, 502, 505, 599], Sign::Failed),
            (&[503, 504], Sign::None),
        ] {
            for status in statuses {
                assert_eq!(Sign::of_status(*status), sign, "{status}");
            }
        }
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not_let_them() {
        let mut health = Health::default();
        for _ in 0..10 {
            health.failed(at(0), &RULE);
            health.failed(at(0), &RULE);
            assert!(!health.is_spotless());
            health.succeeded();
            assert!(health.is_spotless());
        }
        assert_eq!(health, Health::default());
        assert_eq!(ejected().ejected_until(), at(2));
        assert!(ejected().is_ejected(at(1)) && !ejected().is_ejected(at(2)));
    }

    #[test]
    fn one_request_tries_it_when_the_time_is_over() {
        let mut health = ejected();
        assert!(!health.begin_trial(at(1)), "the time is not over");
        assert!(health.begin_trial(at(2)));
        assert!(!health.begin_trial(at(3)), "another tries it");
        assert!(health.is_ejected(at(1000)));
        health.succeeded();
        assert!(!health.is_ejected(at(2)) && health.is_spotless());
        assert!(!health.begin_trial(at(4)), "there is nothing to try");
    }

    #[test]
    fn a_trial_without_an_end_is_the_next_ones() {
        let mut health = ejected();
        assert!(health.begin_trial(at(5)));
        health.abandon_trial();
        assert!(health.begin_trial(at(5)));
        health.succeeded();
        health.abandon_trial();
        assert!(!health.is_ejected(at(5)), "readmitted is readmitted");
    }

    #[test]
    fn each_failed_trial_doubles_the_time_up_to_the_longest() {
        let mut health = ejected();
        let mut times = Vec::new();
        for _ in 0..40 {
            let now = health.ejected_until();
            assert!(health.begin_trial(now));
            health.failed(now, &RULE);
            times.push((health.ejected_until() - now).as_secs());
        }
        assert_eq!(times[..4], [4, 8, 10, 10]);
        assert_eq!(times[39], 10);
    }

    #[test]
    fn only_a_long_stay_makes_it_start_over() {
        for (back_in_for, wanted) in [(9, 4), (10, 2), (100, 2)] {
            let mut health = ejected();
            assert!(health.begin_trial(at(2)));
            health.succeeded();
            let now = at(2 + back_in_for);
            for _ in 0..RULE.failures {
                health.failed(now, &RULE);
            }
            assert_eq!(health.ejected_until() - now, at(wanted), "{back_in_for} s");
        }
    }

    #[test]
    fn requests_under_way_when_it_was_ejected_do_not_lengthen_it() {
        let mut health = ejected();
        for _ in 0..50 {
            health.failed(at(1), &RULE);
        }
        assert_eq!(health, ejected());
        health.failed(at(2), &RULE);
        assert_eq!(
            health.ejected_until(),
            at(2 + 4),
            "asked while all were out"
        );
    }

    proptest! {
        /// Whatever happens, an ejected replica can be tried within the longest time, and one
        /// success brings it back.
        #[test]
        fn no_replica_is_lost_for_ever(turns in prop::collection::vec((0..5u8, 0..20u64), 0..200)) {
            let (mut health, mut now) = (Health::default(), at(0));
            for (what, seconds) in turns {
                now += at(seconds);
                match what {
                    0 => health.succeeded(),
                    1 | 2 => health.failed(now, &RULE),
                    3 => { health.begin_trial(now); }
                    _ => health.abandon_trial(),
                }
                let until = health.ejected_until();
                prop_assert!(until == Duration::MAX || until <= now + RULE.longest);
                prop_assert_eq!(health.is_ejected(now), now < until);
            }
            health.abandon_trial();
            now += RULE.longest;
            prop_assert!(!health.is_ejected(now));
            health.begin_trial(now);
            health.succeeded();
            prop_assert!(health.is_spotless());
        }
    }
}
