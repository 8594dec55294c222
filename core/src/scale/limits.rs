//! How fast the count may move.
//!
//! Fewer replicas go only after fewer would have done for a while: then as many stay as would have done
//! all that time. More come in the same way where a spec asks for a while, and at once else. What is
//! remembered of a while is a few extremes, each of a fifth of it, so that a status is not written at
//! every look.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::{after, since};

/// Parts that the while is remembered in.
pub(super) const PARTS: u32 = 5;
/// Looks come at least this often; a part that was longer without the next has a hole.
const LOOKS: Duration = Duration::from_secs(15);

/// Between two steps where a spec bounds them: a horizontal pod autoscaler's.
const STEP_EVERY: Duration = Duration::from_secs(15);

/// So many replicas would have done since a moment, until the next one noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wished {
    /// Since when.
    pub since: Timestamp,
    /// The most of that time on the way down, the fewest on the way up.
    pub replicas: u32,
}

/// Where wishes would have the count go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

/// What the wishes of a while come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// To be remembered.
    pub(super) wishes: Vec<Wished>,
    /// As many have done for the whole while; `None` if it is not over.
    pub(super) to: Option<u32>,
    /// When it goes on towards the wish, if that stays; in the past if it may at once.
    pub(super) until: Timestamp,
}

impl Way {
    /// The wish that does for both.
    fn both(self, one: u32, other: u32) -> u32 {
        match self {
            Self::Down => one.max(other),
            Self::Up => one.min(other),
        }
    }
}

/// Notes that `wish` replicas, which is this way from what there is, would do now.
pub(super) fn note(
    way: Way,
    before: &[Wished],
    wish: u32,
    hold: Duration,
    now: Timestamp,
) -> Noted {
    let part = hold / PARTS;
    let mut wishes = before.to_vec();
    if has_hole(&wishes, part, now) {
        wishes.clear();
    }
    match wishes.last_mut() {
        Some(last) if after(last.since, part) > now => {
            last.replicas = way.both(last.replicas, wish);
        }
        _ => wishes.push(Wished {
            since: now,
            replicas: wish,
        }),
    }
    // A part counts as long as some of it lies within the while.
    let gone = wishes
        .windows(2)
        .take_while(|pair| after(pair[1].since, hold) <= now);
    let gone = gone.count();
    wishes.drain(..gone);
    let over = wishes.first().map_or(now, |first| after(first.since, hold));
    let all = wishes.iter().map(|it| it.replicas);
    let to = all
        .reduce(|one, other| way.both(one, other))
        .unwrap_or(wish);
    let until = if over <= now && to != wish {
        outlived(&wishes, to, part, hold)
    } else {
        over
    };
    Noted {
        to: (over <= now).then_some(to),
        until,
        wishes,
    }
}

/// When the last part in which `to` were wished for no longer counts.
fn outlived(wishes: &[Wished], to: u32, part: Duration, hold: Duration) -> Timestamp {
    let last = wishes.iter().rposition(|it| it.replicas == to);
    let next = last.and_then(|last| wishes.get(last + 1));
    let end = next.map(|next| next.since);
    let end = end.or_else(|| wishes.last().map(|last| after(last.since, part)));
    end.map_or(Timestamp::MAX, |end| after(end, hold))
}

/// Whether nobody looked for a while, or the clock has been set: then it is not known what would
/// have done.
fn has_hole(wishes: &[Wished], part: Duration, now: Timestamp) -> bool {
    wishes
        .last()
        .is_some_and(|last| last.since > now || after(last.since, part + LOOKS) < now)
}

/// How long the next bounded step still has to wait after a change at that time.
pub(super) fn next_step(moved_at: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let wait = STEP_EVERY.checked_sub(since(moved_at?, now)?);
    wait.filter(|wait| !wait.is_zero())
}

/// `wish`, at most `step` away from what there is.
pub(super) fn stepped(desired: u32, wish: u32, step: Option<u32>) -> u32 {
    let step = step.unwrap_or(u32::MAX);
    wish.clamp(desired.saturating_sub(step), desired.saturating_add(step))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOLD: Duration = Duration::from_secs(50);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    /// Looks at these seconds, with these wishes; gives what the last came to.
    fn looks(way: Way, looks: &[(i64, u32)]) -> Noted {
        let mut wishes = Vec::new();
        let mut last = None;
        for (second, wish) in looks {
            let noted = note(way, &wishes, *wish, HOLD, at(*second));
            wishes.clone_from(&noted.wishes);
            last = Some(noted);
        }
        last.expect("a look")
    }

    fn every_five(wish: impl Fn(i64) -> u32, until: i64) -> Vec<(i64, u32)> {
        (0..=until / 5).map(|at| (at * 5, wish(at * 5))).collect()
    }

    #[test]
    fn the_most_of_the_whole_while_counts_and_the_fewest_on_the_way_up() {
        for (way, usual, once) in [(Way::Down, 2, 4), (Way::Up, 4, 2)] {
            let wishes = |second: i64| if second == 30 { once } else { usual };
            let after = |seconds: i64| looks(way, &every_five(wishes, seconds));
            assert_eq!(after(45).to, None);
            assert_eq!((after(45).to, after(45).until), (None, at(50)));
            // What was wished for in the part from 30 s to 40 s counts until 90 s.
            assert_eq!((after(50).to, after(50).until), (Some(once), at(90)));
            assert_eq!((after(75).to, after(75).until), (Some(once), at(90)));
            assert_eq!(after(95).to, Some(usual));
        }
    }

    #[test]
    fn little_is_remembered() {
        for way in [Way::Down, Way::Up] {
            let wish = |second| 3 + u32::from(second % 2 == 0);
            let noted = looks(way, &every_five(wish, 1000));
            assert!(noted.wishes.len() <= 7, "{noted:?}");
        }
    }

    #[test]
    fn a_hole_or_a_clock_that_was_set_begins_anew() {
        for way in [Way::Down, Way::Up] {
            let mut wishes = every_five(|_| 2, 45);
            wishes.push((3645, 2));
            assert_eq!(looks(way, &wishes).to, None, "an hour forward");
            wishes.push((0, 2));
            assert_eq!(looks(way, &wishes).to, None, "and back");
            assert_eq!(looks(way, &wishes).until, at(50));
            wishes.extend(every_five(|_| 2, 50));
            assert_eq!(looks(way, &wishes).to, Some(2), "but not for ever");
        }
    }

    #[test]
    fn without_a_while_it_is_at_once() {
        assert_eq!(note(Way::Down, &[], 2, Duration::ZERO, at(7)).to, Some(2));
        assert_eq!(note(Way::Up, &[], 2, Duration::ZERO, at(7)).to, Some(2));
    }

    #[test]
    fn a_step_waits_for_the_one_before() {
        for (since, wait) in [
            (None, None),
            (Some(0), Some(15)),
            (Some(10), Some(5)),
            (Some(15), None),
            (Some(4_000), None),
            (Some(-1), None),
        ] {
            let moved_at = since.map(|since: i64| at(10_000 - since));
            let waits = next_step(moved_at, at(10_000));
            assert_eq!(waits, wait.map(Duration::from_secs), "{since:?}");
        }
    }

    proptest! {
        #[test]
        fn no_wish_of_the_while_is_passed_over(
            is_up in any::<bool>(), hold in 0u64..120, all in prop::collection::vec((1i64..12, 1u32..9), 1..60),
        ) {
            let (way, hold) = (if is_up { Way::Up } else { Way::Down }, Duration::from_secs(hold));
            let (mut now, mut wishes, mut seen) = (at(1_000), Vec::new(), Vec::new());
            for (wait, wish) in all {
                now = after(now, Duration::from_secs(wait.unsigned_abs()));
                seen.push((now, wish));
                let noted = note(way, &wishes, wish, hold, now);
                prop_assert!(noted.to.is_some_and(|to| to == wish) || noted.until > now);
                if let Some(to) = noted.to {
                    prop_assert!(after(seen[0].0, hold) <= now, "the while is not over");
                    let within = seen.iter().filter(|(at, _)| after(*at, hold) > now);
                    let mut within = within.map(|(_, wish)| *wish);
                    prop_assert!(within.all(|wish| way.both(to, wish) == to), "{to} of {seen:?}");
                }
                wishes = noted.wishes;
            }
        }
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
