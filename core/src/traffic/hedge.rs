//! Whether and when a request that has no answer yet is sent to a second replica as well.
//!
//! The slowest answers are mostly slow for the moment's sake of their replica and not for their
//! own. Asked of another replica once they take longer than nearly all do, most come soon, for few
//! requests more (Dean and Barroso, "The Tail at Scale", CACM 2013, who wait for the 95th
//! percentile too). That holds only where an answer's time does not depend on what is asked, and
//! while replicas are not slow because of too many requests: hence the budgets.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::budget::{RetryBudget, Share};

/// Nothing is sent a second time sooner: below it, a network's hiccup is as likely a cause.
pub const FLOOR: Duration = Duration::from_millis(50);
/// Answers after which it is known how long one takes.
pub const ENOUGH: u32 = 100;
/// Requests sent a second time, of those that may be. The reserve lets a model that is asked
/// seldom hedge at all.
pub const SHARE: Share = Share {
    percent: 5,
    per_second: 1,
};

/// The part by which the estimate falls at each answer that took less, and how many times that it
/// rises at each that took more: 19 to 1 balance where 95 % take less. The part is a step of 0.1
/// times the 5 %, with which the estimate follows a change within a few hundred answers.
const FALL: u64 = 200;
const RISES: u64 = 19;

/// What is known of how long one model's answers take, and how many requests were sent a second
/// time lately. Takes no lock.
///
/// The delay is an estimate of the 95th percentile: a number that rises or falls by a part of
/// itself, by whether an answer took longer or not (Yazidi and Hammer, "Multiplicative Update
/// Methods for Incremental Quantile Estimation", IEEE Transactions on Cybernetics 49, 2019). It
/// needs no more of an answer than that, so one that was given up for the second replica's counts
/// in full: it took longer.
#[derive(Debug)]
pub struct Hedging {
    /// Nanoseconds; 0 before the first answer.
    estimate: AtomicU64,
    /// Counted up to [`ENOUGH`].
    answers: AtomicU32,
    budget: RetryBudget,
}

impl Default for Hedging {
    fn default() -> Self {
        Self {
            estimate: AtomicU64::new(0),
            answers: AtomicU32::new(0),
            budget: RetryBudget::of(SHARE),
        }
    }
}

impl Hedging {
    /// Counts a request that may be sent a second time, and tells after how long; `None` while
    /// too little is known. `now` is since any moment that all calls share.
    pub fn request(&self, now: Duration) -> Option<Duration> {
        self.budget.request(now);
        let known = self.answers.load(Ordering::Relaxed) >= ENOUGH;
        let estimate = Duration::from_nanos(self.estimate.load(Ordering::Relaxed));
        known.then(|| estimate.max(FLOOR))
    }

    /// Whether a request may be sent a second time now. It takes one of the retries as well, which
    /// are for all models and all causes: replicas that are asked again by many have enough to do.
    #[must_use]
    pub fn may(&self, now: Duration, retries: &RetryBudget) -> bool {
        self.budget.withdraw(now) && retries.withdraw(now)
    }

    /// The replica that was asked first answered.
    pub fn answered(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.learn(took, |estimate| took > estimate);
    }

    /// The second replica answered sooner.
    pub fn outlasted(&self) {
        self.learn(1, |_| true);
    }

    fn learn(&self, first: u64, took_longer: impl Fn(u64) -> bool) {
        let next = |estimate: u64| {
            let part = estimate / FALL;
            Some(match estimate {
                0 => first,
                _ if took_longer(estimate) => estimate.saturating_add((part * RISES).max(1)),
                _ => estimate - part,
            })
        };
        // Never an error, as there always is a next.
        let _ = self
            .estimate
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if self.answers.load(Ordering::Relaxed) < ENOUGH {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dice;
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(7);

    fn millis(millis: f64) -> Duration {
        Duration::from_secs_f64(millis / 1000.0)
    }

    fn delay(hedging: &Hedging) -> Duration {
        hedging.request(NOW).unwrap_or_default()
    }

    /// How many of 10,000 answers took longer than the delay of their moment, after 1,000 others.
    fn outlasting(mut took: impl FnMut() -> Duration) -> usize {
        let hedging = Hedging::default();
        (0..1000).for_each(|_| hedging.answered(took()));
        let longer = (0..10_000).filter(|_| {
            let (delay, took) = (delay(&hedging), took());
            hedging.answered(took);
            took > delay
        });
        longer.count()
    }

    #[test]
    fn one_in_twenty_takes_longer_than_the_delay_whatever_the_times_are() {
        let mut dice = Dice(1);
        let even = outlasting(|| millis(100.0 + 900.0 * dice.unit()));
        let long_tail = outlasting(|| millis(-200.0 * (1.0 - dice.unit()).ln() + 60.0));
        let few_slow = outlasting(|| millis(if dice.below(10) == 0 { 3000.0 } else { 70.0 }));
        for longer in [even, long_tail, few_slow] {
            assert!((400..=600).contains(&longer), "{longer}");
        }
    }

    #[test]
    fn the_delay_follows_times_that_change() {
        let (hedging, mut dice) = (Hedging::default(), Dice(2));
        for (around, answers) in [(100.0, 300), (1000.0, 300), (100.0, 1500)] {
            for _ in 0..answers {
                hedging.answered(millis(around * (0.9 + 0.2 * dice.unit())));
            }
            let delay = delay(&hedging);
            let wanted = millis(around * 0.95)..millis(around * 1.3);
            assert!(wanted.contains(&delay), "{delay:?} for {around} ms");
        }
    }

    #[test]
    fn answers_that_were_given_up_lengthen_the_delay() {
        let hedging = Hedging::default();
        (0..ENOUGH).for_each(|_| hedging.answered(millis(100.0)));
        let before = delay(&hedging);
        (0..10).for_each(|_| hedging.outlasted());
        assert!(delay(&hedging) > before * 2);
    }

    #[test]
    fn too_little_is_known_at_first_and_quick_answers_are_left_alone() {
        let hedging = Hedging::default();
        for _ in 0..ENOUGH {
            assert_eq!(hedging.request(NOW), None);
            hedging.answered(millis(1.0));
        }
        assert_eq!(hedging.request(NOW), Some(FLOOR));
    }

    /// Every request takes too long, and would be sent a second time.
    #[test]
    fn slow_replicas_get_few_more_requests() {
        let (hedging, retries, mut more) = (Hedging::default(), RetryBudget::new(), 0);
        for second in 0..60 {
            let now = Duration::from_secs(second);
            for _ in 0..200 {
                retries.request(now);
                hedging.request(now);
                more += u64::from(hedging.may(now, &retries));
            }
        }
        let (share, reserve) = (60 * 200 / 20, 60);
        assert!(more <= share + reserve, "{more}");
        assert!(more >= share, "{more}: too few");
    }

    #[test]
    fn where_retries_are_spent_nothing_is_sent_a_second_time() {
        let (hedging, retries) = (Hedging::default(), RetryBudget::new());
        hedging.request(NOW);
        assert!(hedging.may(NOW, &retries));
        while retries.withdraw(NOW) {}
        assert!(!hedging.may(NOW, &retries));
    }

    proptest! {
        #[test]
        fn the_delay_is_a_time_that_was_seen_or_near_it(
            times in prop::collection::vec(any::<u64>().prop_map(|n| n >> (n % 60)), 100..400),
        ) {
            let hedging = Hedging::default();
            for nanos in &times {
                hedging.answered(Duration::from_nanos(*nanos));
            }
            let longest = times.iter().copied().max().map(Duration::from_nanos);
            let longest = longest.unwrap_or_default().max(FLOOR);
            let delay = delay(&hedging);
            prop_assert!(delay >= FLOOR);
            prop_assert!(delay <= longest.saturating_mul(11) / 10 || longest > Duration::from_secs(1 << 30));
        }
    }
}
