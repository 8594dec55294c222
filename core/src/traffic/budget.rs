//! The retry budget: how many requests may be sent a second time.
//!
//! Sending again helps while few fail, and is one more load on replicas that fail by load. So
//! retries are a share of the requests of the last seconds, as Finagle and Linkerd have it, with a
//! reserve by which a model that is asked seldom can retry at all, and one that loses a replica
//! with all its requests can send them to another. Finagle's is as large.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many requests may be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// For each hundred requests.
    pub percent: u64,
    /// Beside those.
    pub per_second: u64,
}

/// Of those that lost their replica.
pub const RETRIES: Share = Share {
    percent: 20,
    per_second: 10,
};
/// Over how many seconds both are counted.
pub const WINDOW_SECONDS: u64 = 10;

const SLOTS: usize = WINDOW_SECONDS as usize;

/// Requests and retries of the last [`WINDOW_SECONDS`], in whole seconds. In any window,
/// retries ≤ their [`Share`] of the requests + its number for each second.
///
/// Counting takes no lock. Threads that withdraw in the same instant may each take the last
/// retry, so the bound can be exceeded by one less than their number.
#[derive(Debug)]
pub struct RetryBudget {
    share: Share,
    slots: [AtomicU64; SLOTS],
}

/// What happened in one second. As one number, so that it changes as one: the second, by which a
/// slot left from an earlier turn is known, in the upper 24 bits, then 20 for each count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    second: u64,
    requests: u64,
    retries: u64,
}

const COUNT_BITS: u32 = 20;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const SECONDS: u64 = 1 << 24;

impl Slot {
    fn unpack(number: u64) -> Self {
        Self {
            second: number >> (2 * COUNT_BITS),
            requests: (number >> COUNT_BITS) & MOST,
            retries: number & MOST,
        }
    }

    /// Counts stay at the most they can be: more than a million a second.
    fn pack(self) -> u64 {
        let (requests, retries) = (self.requests.min(MOST), self.retries.min(MOST));
        self.second << (2 * COUNT_BITS) | requests << COUNT_BITS | retries
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::of(RETRIES)
    }
}

impl RetryBudget {
    /// One of [`RETRIES`] that has seen no requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that has seen no requests.
    #[must_use]
    pub fn of(share: Share) -> Self {
        let slots = Default::default();
        Self { share, slots }
    }

    /// Counts a request, not its retries. `now` is since any moment that all calls share, and
    /// seldom goes back.
    pub fn request(&self, now: Duration) {
        self.count(now, |slot| slot.requests += 1);
    }

    /// Takes one retry, if there is one left.
    #[must_use]
    pub fn withdraw(&self, now: Duration) -> bool {
        let (requests, retries) = self.window(now);
        let reserve = self.share.per_second * WINDOW_SECONDS;
        let allowed = requests * self.share.percent / 100 + reserve;
        let left = retries < allowed;
        if left {
            self.count(now, |slot| slot.retries += 1);
        }
        left
    }

    fn count(&self, now: Duration, add: impl Fn(&mut Slot)) {
        let second = now.as_secs() % SECONDS;
        let Some(slot) = self.slots.get(now.as_secs() as usize % SLOTS) else {
            return;
        };
        let counted = |number| {
            let mut slot = Slot::unpack(number);
            if slot.second != second {
                slot = Slot {
                    second,
                    requests: 0,
                    retries: 0,
                };
            }
            add(&mut slot);
            Some(slot.pack())
        };
        // Never an error, as what is counted is never nothing.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    fn window(&self, now: Duration) -> (u64, u64) {
        let second = now.as_secs() % SECONDS;
        let slots = self.slots.iter();
        let slots = slots.map(|slot| Slot::unpack(slot.load(Ordering::Relaxed)));
        let age = |slot: &Slot| (second + SECONDS - slot.second) % SECONDS;
        let recent = slots.filter(|slot| age(slot) < WINDOW_SECONDS);
        recent.fold((0, 0), |(requests, retries), slot| {
            (requests + slot.requests, retries + slot.retries)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How many retries are left, taking them all.
    fn drain(budget: &RetryBudget, now: Duration) -> u64 {
        (0..).take_while(|_| budget.withdraw(now)).count() as u64
    }

    #[test]
    fn a_fifth_of_the_requests_and_a_reserve_can_be_sent_again() {
        let budget = RetryBudget::new();
        assert_eq!(drain(&budget, at(5)), 100);
        for _ in 0..1000 {
            budget.request(at(5));
        }
        assert_eq!(drain(&budget, at(5)), 200);
        assert_eq!(drain(&budget, at(14)), 0, "they count for ten seconds");
        assert_eq!(drain(&budget, at(15)), 100, "and so do the requests");
        assert_eq!(drain(&budget, at(1 << 40)), 100);
    }

    /// All requests fail, and each is sent again as often as the budget lets it.
    #[test]
    fn a_storm_of_failures_makes_no_storm_of_retries() {
        let (budget, mut retries) = (RetryBudget::new(), 0);
        for second in 0..120 {
            for _ in 0..500 {
                budget.request(at(second));
                retries += drain(&budget, at(second));
            }
        }
        let requests = 120 * 500;
        assert!(
            retries <= requests / 5 + 120 * RETRIES.per_second,
            "{retries} of {requests}"
        );
        assert!(
            retries >= requests / 5 - 100,
            "{retries} of {requests}: too few"
        );
    }

    #[test]
    fn a_model_that_is_asked_seldom_can_retry() {
        let budget = RetryBudget::new();
        for minute in 0..10 {
            budget.request(at(minute * 60));
            assert!(budget.withdraw(at(minute * 60)));
        }
    }

    #[test]
    fn counts_stop_at_the_most_they_can_be() {
        let budget = RetryBudget::new();
        for _ in 0..(1 << 20) + 5 {
            budget.request(at(3));
        }
        assert_eq!(budget.window(at(3)), (MOST, 0));
    }

    proptest! {
        /// As a list of what happened tells it.
        #[test]
        fn retries_stay_within_their_share_of_the_last_seconds(
            turns in prop::collection::vec((any::<bool>(), 0..3u64), 0..400),
            start in prop_oneof![0..100u64, SECONDS - 20..SECONDS + 20, any::<u32>().prop_map(u64::from)],
        ) {
            let (budget, mut now) = (RetryBudget::new(), start);
            let mut past: Vec<(u64, bool)> = Vec::new();
            for (wants_retry, pause) in turns {
                now += u64::from(pause == 2);
                let recent = past.iter().filter(|(second, _)| second + WINDOW_SECONDS > now);
                let retries = recent.clone().filter(|(_, retry)| *retry).count() as u64;
                let requests = recent.count() as u64 - retries;
                if wants_retry {
                    let allowed = requests / 5 + WINDOW_SECONDS * RETRIES.per_second;
                    let granted = budget.withdraw(at(now));
                    prop_assert_eq!(granted, retries < allowed);
                    if granted {
                        past.push((now, true));
                    }
                } else {
                    budget.request(at(now));
                    past.push((now, false));
                }
            }
        }
    }
}
