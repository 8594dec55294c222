//! A server's clock beside the one of this process. The server's may show another time, run a little
//! faster, and be set; this one only ever goes on.

use std::time::Duration;

/// A difference that no clock comes to by running on: it was set.
const SET: i64 = 1000;

/// What is known of it: how far it is ahead, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(Option<i64>);

/// A look at the server's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    /// When it was asked for, and answered.
    pub(super) asked: Duration,
    pub(super) answered: Duration,
    /// What it showed at some time in between.
    pub(super) shows: i64,
}

impl Clock {
    /// Takes note of a look; gives whether the clock was set since the one before. What is known is
    /// changed as little as the look demands, so that times between samples stay what they are.
    pub(super) fn seen(&mut self, look: &Glance) -> bool {
        let least = look.shows.saturating_sub(millis(look.answered));
        let most = look.shows.saturating_sub(millis(look.asked));
        // What is not known lets samples be older than they are.
        let before = self.0.unwrap_or(most);
        let ahead = before.clamp(least, most.max(least));
        self.0 = Some(ahead);
        ahead.abs_diff(before) > SET.unsigned_abs()
    }

    /// A moment of the server's as one of this process; `None` if it was before all of its.
    pub(super) fn moment(&self, shown: i64) -> Option<Duration> {
        let millis = shown.checked_sub(self.0?)?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

fn millis(moment: Duration) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(asked: u64, answered: u64, shows: i64) -> Glance {
        let (asked, answered) = (
            Duration::from_millis(asked),
            Duration::from_millis(answered),
        );
        Glance {
            asked,
            answered,
            shows,
        }
    }

    fn moment(clock: &Clock, shown: i64) -> Option<u128> {
        clock.moment(shown).map(|at| at.as_millis())
    }

    #[test]
    fn a_moment_is_no_later_than_it_can_have_been() {
        let mut clock = Clock::default();
        assert_eq!(moment(&clock, 0), None, "nothing is known");
        assert!(!clock.seen(&glance(5_000, 5_800, 1_000_000)));
        assert_eq!(moment(&clock, 1_000_000), Some(5_000));
        assert_eq!(moment(&clock, 995_000), Some(0));
        assert_eq!(moment(&clock, 994_999), None);
    }

    #[test]
    fn a_slow_answer_moves_no_moment_and_a_quick_one_as_little_as_it_must() {
        let mut clock = Clock::default();
        clock.seen(&glance(5_000, 5_010, 1_000_000));
        for late in [
            glance(6_000, 6_900, 1_001_800),
            glance(7_000, 9_000, 1_002_000),
        ] {
            assert!(!clock.seen(&late));
            assert_eq!(moment(&clock, 1_000_000), Some(5_000));
        }
        // It runs faster.
        assert!(!clock.seen(&glance(100_000, 100_010, 1_095_040)));
        assert_eq!(moment(&clock, 1_095_040), Some(100_010));
    }

    #[test]
    fn a_clock_that_is_set_is_noticed() {
        for hour in [3_600_000, -3_600_000] {
            let mut clock = Clock::default();
            clock.seen(&glance(5_000, 5_010, 10_000_000));
            assert!(clock.seen(&glance(6_000, 6_010, 10_001_000 + hour)));
            assert!(!clock.seen(&glance(7_000, 7_010, 10_002_000 + hour)));
            assert_eq!(
                moment(&clock, 10_002_005 + hour).map(|at| at / 100),
                Some(70)
            );
        }
    }
}
