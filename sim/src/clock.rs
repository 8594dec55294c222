//! Virtual time: it begins at the Unix epoch and moves when it is told to.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

const MICROSECOND: i128 = 1_000;

/// When every simulation begins.
pub const START: Timestamp = Timestamp::UNIX_EPOCH;

/// `at + length`, at most the end of time, rounded up to the microsecond that status keeps.
#[must_use]
pub fn after(at: Timestamp, length: Duration) -> Timestamp {
    round_up(at.checked_add(length).unwrap_or(Timestamp::MAX))
}

/// The first whole microsecond at or after `at`.
#[must_use]
pub fn round_up(at: Timestamp) -> Timestamp {
    let nanoseconds = at.as_nanosecond();
    let missing = (MICROSECOND - nanoseconds.rem_euclid(MICROSECOND)) % MICROSECOND;
    Timestamp::from_nanosecond(nanoseconds + missing).unwrap_or(at)
}

/// A clock that may be set, beside time as it passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// By how much it is fast.
    fast: SignedDuration,
    /// When it was set forward, and by how much.
    forward: Vec<(Timestamp, Duration)>,
}

impl Clock {
    /// Sets it forward or back.
    pub(crate) fn set(&mut self, by: SignedDuration, now: Timestamp) {
        self.fast = self.fast.saturating_add(by);
        if let Ok(forward) = Duration::try_from(by) {
            self.forward.push((now, forward));
        }
    }

    /// What it shows now.
    pub(crate) fn at(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.fast).unwrap_or(now)
    }

    /// When it is to be waited for until it shows `at`, if it is not set meanwhile.
    pub(crate) fn until(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        let wait = at.duration_since(self.at(now));
        after(now, Duration::try_from(wait).unwrap_or_default())
    }

    /// By how much it was set forward since.
    pub(crate) fn forward_since(&self, at: Timestamp) -> Duration {
        let since = self.forward.iter().filter(|(set, _)| *set >= at);
        since.map(|(_, by)| *by).sum()
    }
}

/// Seconds since the start, such as `12.5s`, to the millisecond.
#[must_use]
pub fn offset(at: Timestamp) -> String {
    let milliseconds = at.as_millisecond() - START.as_millisecond();
    let sign = if milliseconds < 0 { "-" } else { "" };
    let amount = milliseconds.unsigned_abs();
    let mut text = format!("{sign}{}.{:03}", amount / 1000, amount % 1000);
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    text + "s"
}

/// `text` with every timestamp in it written as an offset.
#[must_use]
pub fn relative(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([';', ',', '.', ':', ')']);
        match bare.parse::<Timestamp>() {
            Ok(at) => offset(at) + &word[bare.len()..],
            Err(_) => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_short() {
        for (milliseconds, text) in [
            (0, "0s"),
            (-1_500, "-1.5s"),
            (500, "0.5s"),
            (10_000, "10s"),
            (61_234, "61.234s"),
        ] {
            let at = Timestamp::from_millisecond(milliseconds).expect("in range");
            assert_eq!(offset(at), text);
            assert_eq!(
                relative(&format!("until {at}; so")),
                format!("until {text}; so")
            );
        }
    }

    #[test]
    fn time_is_never_rounded_into_the_past() {
        for (nanoseconds, micros) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)] {
            let at = Timestamp::from_nanosecond(nanoseconds).expect("in range");
            assert_eq!(round_up(at).as_microsecond(), micros);
        }
    }
}
