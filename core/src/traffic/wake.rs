//! How long a model that sleeps will take to answer, from how long it took before.

use std::time::Duration;

/// How many past starts are remembered.
const REMEMBERED: usize = 8;
/// Of the past starts, the share that was no longer than what is told, in percent: telling a
/// little too much costs a caller less than asking in vain.
const QUANTILE: usize = 75;
/// Never less than this is told: whoever comes back sooner asks in vain.
const LEAST: Duration = Duration::from_secs(1);
/// A start that outlasts all known ones is taken to need this part of its time so far again.
const OVERDUE_PART: u32 = 4;

/// The last cold starts of one model: from the first request that found no replica to a replica
/// that is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColdStarts {
    /// Oldest first.
    took: Vec<Duration>,
}

impl ColdStarts {
    /// Remembers a start, and forgets the oldest beyond eight.
    pub fn observe(&mut self, took: Duration) {
        if self.took.len() == REMEMBERED {
            self.took.remove(0);
        }
        self.took.push(took);
    }

    /// How much longer a start will take that has taken `elapsed`, in whole seconds, 1 s at least:
    /// the 75th percentile of those past starts that took longer than that, less `elapsed`. One
    /// that outlasts them all will take a quarter of its time again. `hint`, the route's
    /// `cold_start`, counts as one start more. `None` if nothing is known.
    #[must_use]
    pub fn left(&self, hint: Option<Duration>, elapsed: Duration) -> Option<Duration> {
        let known = || self.took.iter().copied().chain(hint);
        known().next()?;
        let longer = known().filter(|took| *took > elapsed).collect();
        let left = percentile(longer).map_or(elapsed / OVERDUE_PART, |took| took - elapsed);
        Some(whole_seconds(left).max(LEAST))
    }
}

/// By nearest rank.
fn percentile(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort_unstable();
    let rank = (values.len() * QUANTILE).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

fn whole_seconds(time: Duration) -> Duration {
    let more = u64::from(time.subsec_nanos() > 0);
    Duration::from_secs(time.as_secs().saturating_add(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn starts(seconds: &[u64]) -> ColdStarts {
        let mut starts = ColdStarts::default();
        for seconds in seconds {
            starts.observe(Duration::from_secs(*seconds));
        }
        starts
    }

    /// Past starts, hint, elapsed milliseconds; seconds left.
    type Row<'a> = (&'a [u64], Option<u64>, u64, Option<u64>);

    #[test]
    fn tells_what_is_left_of_a_usual_start() {
        #[rustfmt::skip]
        let cases: &[Row<'_>] = &[
            // Nothing is known; the hint alone; one start alone.
            (&[], None, 0, None),
            (&[], None, 5_000, None),
            (&[], Some(20), 0, Some(20)),
            (&[30], None, 0, Some(30)),
            // Three quarters were no longer. The hint is one of them.
            (&[10, 20, 30, 40], None, 0, Some(30)),
            (&[40, 30, 20, 10], None, 10_000, Some(30)),
            (&[10, 20, 30], Some(40), 0, Some(30)),
            // Nine starts, of which the first is forgotten.
            (&[900, 1, 2, 3, 4, 5, 6, 7, 8], None, 0, Some(6)),
            // Those that were shorter tell nothing of one that already takes longer.
            (&[5, 5, 5, 20], None, 0, Some(5)),
            (&[5, 5, 5, 20], None, 6_000, Some(14)),
            // Rounded up, and a second at least.
            (&[30], None, 500, Some(30)),
            (&[30], None, 29_900, Some(1)),
            (&[30], None, 29_000, Some(1)),
            (&[0], None, 0, Some(1)),
            // Overdue: a quarter of its time again.
            (&[30], None, 30_000, Some(8)),
            (&[30], None, 100_000, Some(25)),
        ];
        for (past, hint, elapsed, wanted) in cases {
            let hint = hint.map(Duration::from_secs);
            let left = starts(past).left(hint, Duration::from_millis(*elapsed));
            let seconds = left.map(|left| left.as_secs());
            assert_eq!(seconds, *wanted, "{past:?} {hint:?} after {elapsed} ms");
        }
    }

    proptest! {
        #[test]
        fn never_less_than_a_second_nor_longer_than_the_longest(
            past in prop::collection::vec(0..10_000u64, 1..20),
            hint in prop::option::of(0..10_000u64),
            elapsed in 0..20_000u64,
        ) {
            let (hint, elapsed) = (hint.map(Duration::from_secs), Duration::from_secs(elapsed));
            let left = starts(&past).left(hint, elapsed).unwrap_or_default();
            prop_assert!(left >= LEAST);
            prop_assert_eq!(left.subsec_nanos(), 0);
            let recent = &past[past.len().saturating_sub(REMEMBERED)..];
            let longest = recent.iter().map(|s| Duration::from_secs(*s)).chain(hint).max();
            let longest = longest.unwrap_or_default();
            if elapsed < longest {
                prop_assert!(left + elapsed <= longest.max(elapsed + LEAST));
            }
        }

        #[test]
        fn no_time_is_too_long(past in any::<u64>(), elapsed in any::<u64>()) {
            let left = starts(&[past]).left(None, Duration::from_secs(elapsed));
            prop_assert!(left.is_some());
        }
    }
}
