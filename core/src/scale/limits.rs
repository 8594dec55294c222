//! How fast the count may move.
//!
//! More replicas come at once, fewer only after fewer would have done for a while: then as many go
//! as would have done all that time. What is remembered of that while is a few maxima, each of a
//! fifth of it, so that a status is not written at every look.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::after;

/// Parts that the while is remembered in.
pub(super) const PARTS: u32 = 5;
/// Looks come at least this often; a part that was longer without the next has a hole.
const LOOKS: Duration = Duration::from_secs(15);

/// Fewer replicas than there are would have done since a moment, until the next one noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Low {
    /// Since when.
    pub since: Timestamp,
    /// As many would have done all the time.
    pub most: u32,
}

/// What a wish for fewer replicas comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shrinking {
    /// To be remembered.
    pub(super) lows: Vec<Low>,
    /// As many have done for the whole while; `None` if it is not over.
    pub(super) to: Option<u32>,
    /// When it is over, if the wish stays.
    pub(super) until: Timestamp,
}

/// Notes that `wish` replicas, fewer than there are, would do now.
pub(super) fn note(lows: &[Low], wish: u32, hold: Duration, now: Timestamp) -> Shrinking {
    let part = hold / PARTS;
    let mut lows = lows.to_vec();
    if has_hole(&lows, part, now) {
        lows.clear();
    }
    match lows.last_mut() {
        Some(last) if after(last.since, part) > now => last.most = last.most.max(wish),
        _ => lows.push(Low {
            since: now,
            most: wish,
        }),
    }
    // A part counts as long as some of it lies within the while.
    let gone = lows
        .windows(2)
        .take_while(|pair| after(pair[1].since, hold) <= now);
    let gone = gone.count();
    lows.drain(..gone);
    let until = lows.first().map_or(now, |first| after(first.since, hold));
    let most = lows.iter().map(|low| low.most).max();
    Shrinking {
        to: most.filter(|_| until <= now),
        until,
        lows,
    }
}

/// Whether nobody looked for a while, or the clock has been set: then it is not known what would
/// have done.
fn has_hole(lows: &[Low], part: Duration, now: Timestamp) -> bool {
    lows.last()
        .is_some_and(|last| last.since > now || after(last.since, part + LOOKS) < now)
}

/// `wish`, at most `step` away from what there is.
pub(super) fn stepped(desired: u32, wish: u32, step: Option<u32>) -> u32 {
    let step = step.unwrap_or(u32::MAX);
    wish.clamp(desired.saturating_sub(step), desired.saturating_add(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(50);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    /// Looks at these seconds, with these wishes; gives what the last came to.
    fn looks(looks: &[(i64, u32)]) -> Shrinking {
        let mut lows = Vec::new();
        let mut last = None;
        for (second, wish) in looks {
            let noted = note(&lows, *wish, HOLD, at(*second));
            lows.clone_from(&noted.lows);
            last = Some(noted);
        }
        last.expect("a look")
    }

    fn every_five(wish: impl Fn(i64) -> u32, until: i64) -> Vec<(i64, u32)> {
        (0..=until / 5).map(|at| (at * 5, wish(at * 5))).collect()
    }

    #[test]
    fn the_most_of_the_whole_while_counts() {
        let wishes = |second: i64| if second == 30 { 4 } else { 2 };
        assert_eq!(looks(&every_five(wishes, 45)).to, None);
        assert_eq!(looks(&every_five(wishes, 50)).to, Some(4));
        assert_eq!(looks(&every_five(wishes, 75)).to, Some(4));
        assert_eq!(looks(&every_five(wishes, 95)).to, Some(2));
    }

    #[test]
    fn little_is_remembered() {
        let noted = looks(&every_five(|second| 3 + u32::from(second % 2 == 0), 1000));
        assert!(noted.lows.len() <= 7, "{noted:?}");
    }

    #[test]
    fn a_hole_or_a_clock_that_was_set_begins_anew() {
        let mut wishes = every_five(|_| 2, 45);
        wishes.push((3645, 2));
        assert_eq!(looks(&wishes).to, None, "an hour forward");
        wishes.push((0, 2));
        assert_eq!(looks(&wishes).to, None, "and back");
        assert_eq!(looks(&wishes).until, at(50));
    }

    #[test]
    fn without_a_while_it_is_at_once() {
        assert_eq!(note(&[], 2, Duration::ZERO, at(7)).to, Some(2));
    }

    #[test]
    fn steps_are_bounded_both_ways() {
        for (desired, wish, step, to) in [
            (5, 9, Some(2), 7),
            (5, 1, Some(2), 3),
            (5, 6, Some(2), 6),
            (5, 9, None, 9),
            (1, 0, Some(4), 0),
        ] {
            assert_eq!(stepped(desired, wish, step), to);
        }
    }
}
