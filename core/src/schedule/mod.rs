//! Floors by the clock: fewest replicas that hold from one time of a calendar to another.
//!
//! Whether one holds follows from the time alone. It does if its start was met last after its end was:
//! nothing is remembered, and a turn that comes late decides as one in time would have.

mod cron;
mod zone;

#[cfg(test)]
mod cron_tests;

use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::cron::Cron;

pub use self::cron::CronError;

/// All floors of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    floors: Vec<Floor>,
}

/// Fewest replicas from one time to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    start: Cron,
    end: Cron,
    zone: TimeZone,
    replicas: u32,
}

/// A floor that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Fewest replicas.
    pub replicas: u32,
    /// Until then.
    pub until: Timestamp,
}

/// Why there can be no such floor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// Its start can't be followed.
    #[error("start `{0}` {1}")]
    Start(String, #[source] CronError),
    /// Its end can't be followed.
    #[error("end `{0}` {1}")]
    End(String, #[source] CronError),
    /// There is no such zone.
    #[error("timeZone `{0}` is not in the IANA database: write such as Europe/Berlin or UTC")]
    Zone(String),
    /// It would end as it begins.
    #[error("start and end are the same, so it would never hold: write an end that comes later")]
    Empty,
}

impl FloorError {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Start(_, error) | Self::End(_, error) => error.reason(),
            Self::Zone(_) => "UnknownTimeZone",
            Self::Empty => "EmptyFloor",
        }
    }
}

impl Floor {
    /// One that holds from `start` until `end`, which are met in the zone of this name.
    ///
    /// # Errors
    /// One of them can't be followed.
    pub fn new(start: &str, end: &str, zone: &str, replicas: u32) -> Result<Self, FloorError> {
        let from = Cron::from_str(start).map_err(|it| FloorError::Start(start.to_owned(), it))?;
        let until = Cron::from_str(end).map_err(|it| FloorError::End(end.to_owned(), it))?;
        if from == until {
            return Err(FloorError::Empty);
        }
        Ok(Self {
            start: from,
            end: until,
            zone: zone::named(zone).ok_or_else(|| FloorError::Zone(zone.to_owned()))?,
            replicas,
        })
    }

    fn holds(&self, now: Timestamp) -> bool {
        // What was never met comes before all that was.
        zone::last(&self.start, &self.zone, now) > zone::last(&self.end, &self.zone, now)
    }

    /// When it begins or ends, whichever is to come.
    fn changes(&self, now: Timestamp) -> Option<Timestamp> {
        let to_come = if self.holds(now) {
            &self.end
        } else {
            &self.start
        };
        zone::next(to_come, &self.zone, now)
    }

    fn held(&self, now: Timestamp) -> Option<Held> {
        self.holds(now).then(|| Held {
            replicas: self.replicas,
            until: zone::next(&self.end, &self.zone, now).unwrap_or(Timestamp::MAX),
        })
    }
}

impl Schedule {
    /// The greatest of the floors that hold; of several, the one that does for longest.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> Option<Held> {
        self.floors.iter().filter_map(|floor| floor.held(now)).max()
    }

    /// When the next floor begins or ends; `None` if there is none.
    #[must_use]
    pub fn changes(&self, now: Timestamp) -> Option<Timestamp> {
        self.floors
            .iter()
            .filter_map(|floor| floor.changes(now))
            .min()
    }
}

impl FromIterator<Floor> for Schedule {
    fn from_iter<I: IntoIterator<Item = Floor>>(floors: I) -> Self {
        Self {
            floors: floors.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn floor(start: &str, end: &str, zone: &str) -> Floor {
        Floor::new(start, end, zone, 2).expect("a floor")
    }

    #[test]
    fn it_holds_from_its_start_until_its_end() {
        let hours = floor("0 8 * * 1-5", "0 18 * * 1-5", "Europe/Berlin");
        // 2024-05-17 was a Friday; Berlin was two hours ahead.
        for (now, holds, changes) in [
            ("2024-05-17T05:59:59Z", false, "2024-05-17T06:00Z"),
            ("2024-05-17T06:00Z", true, "2024-05-17T16:00Z"),
            ("2024-05-17T15:59:59.999Z", true, "2024-05-17T16:00Z"),
            ("2024-05-17T16:00Z", false, "2024-05-20T06:00Z"),
            ("2024-05-18T10:00Z", false, "2024-05-20T06:00Z"),
        ] {
            let now = at(now);
            assert_eq!(hours.holds(now), holds, "{now}");
            assert_eq!(hours.changes(now), Some(at(changes)), "{now}");
        }
    }

    #[test]
    fn it_holds_over_midnight_and_over_days() {
        let night = floor("0 22 * * *", "0 6 * * *", "UTC");
        assert!(night.holds(at("2024-05-17T23:00Z")) && night.holds(at("2024-05-17T05:00Z")));
        assert!(!night.holds(at("2024-05-17T12:00Z")));
        let week = floor("0 8 * * 1", "0 18 * * 5", "UTC");
        assert!(week.holds(at("2024-05-15T03:00Z")) && !week.holds(at("2024-05-18T12:00Z")));
    }

    #[test]
    fn clocks_that_are_put_forward_or_back_keep_the_order() {
        // Berlin went from 2:00 to 3:00 at 1:00 UTC on 2024-03-31, and from 3:00 back to 2:00 at 1:00
        // UTC on 2024-10-27.
        for (start, end, now, holds) in [
            // Both skipped: it would have begun and ended at one moment.
            ("10 2 * * *", "40 2 * * *", "2024-03-31T01:00Z", false),
            ("40 2 * * *", "10 2 * * *", "2024-03-31T01:00Z", true),
            // Its start is skipped, its end comes after.
            ("30 2 * * *", "15 3 * * *", "2024-03-31T00:59Z", false),
            ("30 2 * * *", "15 3 * * *", "2024-03-31T01:05Z", true),
            ("30 2 * * *", "15 3 * * *", "2024-03-31T01:15Z", false),
            // Its end is skipped.
            ("0 1 * * *", "30 2 * * *", "2024-03-31T00:59Z", true),
            ("0 1 * * *", "30 2 * * *", "2024-03-31T01:00Z", false),
            // Shown twice, it holds twice.
            ("15 2 * * *", "45 2 * * *", "2024-10-27T00:30Z", true),
            ("15 2 * * *", "45 2 * * *", "2024-10-27T00:50Z", false),
            ("15 2 * * *", "45 2 * * *", "2024-10-27T01:30Z", true),
            ("15 2 * * *", "45 2 * * *", "2024-10-27T01:50Z", false),
            // Eight o'clock is an hour later in UTC from then on.
            ("0 8 * * *", "0 18 * * *", "2024-10-27T06:30Z", false),
            ("0 8 * * *", "0 18 * * *", "2024-10-27T07:00Z", true),
        ] {
            let floor = floor(start, end, "Europe/Berlin");
            assert_eq!(floor.holds(at(now)), holds, "{start} to {end} at {now}");
        }
    }

    #[test]
    fn the_greatest_counts_and_of_equal_ones_the_longest() {
        let of = |start, end, replicas| Floor::new(start, end, "UTC", replicas).expect("a floor");
        let schedule: Schedule = [
            of("0 8 * * *", "0 18 * * *", 2),
            of("0 12 * * *", "0 14 * * *", 5),
            of("0 10 * * *", "0 20 * * *", 2),
        ]
        .into_iter()
        .collect();
        for (now, held, changes) in [
            ("07:00", None, "08:00"),
            ("09:00", Some((2, "18:00")), "10:00"),
            ("11:00", Some((2, "20:00")), "12:00"),
            ("13:00", Some((5, "14:00")), "14:00"),
            ("19:00", Some((2, "20:00")), "20:00"),
        ] {
            let today = |time: &str| at(&format!("2024-05-17T{time}Z"));
            let now = today(now);
            let held = held.map(|(replicas, until)| Held {
                replicas,
                until: today(until),
            });
            assert_eq!(schedule.held(now), held, "{now}");
            assert_eq!(schedule.changes(now), Some(today(changes)), "{now}");
        }
        assert_eq!(Schedule::default().held(at("2024-05-17T13:00Z")), None);
    }

    #[test]
    fn what_can_not_hold_is_refused() {
        for (start, end, zone, reason) in [
            ("0 25 * * *", "0 18 * * *", "UTC", "InvalidField"),
            ("0 8 * * *", "0 18 31 2 *", "UTC", "NeverComes"),
            ("0 8 * * *", "0 18 * * *", "Mars/Base", "UnknownTimeZone"),
            ("0 8 * * 1-5", "0 8 * * mon-fri", "UTC", "EmptyFloor"),
        ] {
            let error = Floor::new(start, end, zone, 2).expect_err(reason);
            assert_eq!(error.reason(), reason, "{error}");
        }
    }
}
