//! Cron expressions of five fields, as a wall clock and a calendar match them: no time zone here.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};

/// The last minute of a day.
const LAST_MINUTE: u32 = 24 * 60 - 1;
/// Days of each month, in the year in which it has most.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What one field may hold.
#[derive(Debug)]
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for its values, the first of which stands for `least`.
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of a month",
    least: 1,
    most: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
/// Sunday is 0, and 7 as well.
const WEEKDAY: Field = Field {
    name: "day of the week",
    least: 0,
    most: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Why a text is no expression that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error(
        "has {0} fields: write five, for minute, hour, day of the month, month and day of the week, such as `0 8 * * 1-5`"
    )]
    Fields(usize),
    /// A field, or a part of one, that is neither a number nor any other form.
    #[error(
        "`{part}` is no {field}: write {least} to {most}, a range such as {least}-{most}, `*`, or one of them with a step such as `*/2`"
    )]
    Part {
        /// As it is written.
        part: String,
        /// Of which field.
        field: &'static str,
        /// The least that is one.
        least: u32,
        /// The most.
        most: u32,
    },
    /// No year has such a day.
    #[error("never comes: none of its months has such a day; write a day that there is")]
    Never,
}

impl CronError {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Fields(_) => "WrongFieldCount",
            Self::Part { .. } => "InvalidField",
            Self::Never => "NeverComes",
        }
    }
}

/// An expression: in each set a bit stands for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day is met by its number or its weekday. That is so where both are told; a field that
    /// begins with `*` leaves it to the other.
    either: bool,
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::Fields(fields.len()));
        };
        let sunday = 1 << WEEKDAY.most;
        let weekdays = WEEKDAY.set(weekday)?;
        let cron = Self {
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            days: DAY.set(day)?,
            months: MONTH.set(month)?,
            weekdays: weekdays & !sunday | u64::from(weekdays & sunday != 0),
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if cron.comes() {
            Ok(cron)
        } else {
            Err(CronError::Never)
        }
    }
}

impl Field {
    /// The values that a field names: parts by commas.
    fn set(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |set, part| {
            let values = self.part(part).ok_or_else(|| CronError::Part {
                part: part.to_owned(),
                field: self.name,
                least: self.least,
                most: self.most,
            })?;
            Ok(set | values)
        })
    }

    /// A value, a range or all, and of these perhaps every n-th.
    fn part(&self, part: &str) -> Option<u64> {
        let (values, step) = match part.split_once('/') {
            Some((values, step)) => (values, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match values.split_once('-') {
            _ if values == "*" => (self.least, self.most),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // A value with a step goes on to the end.
            None if step.is_some() => (self.value(values)?, self.most),
            None => (self.value(values)?, self.value(values)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        let values = (first..=last).step_by(step);
        (first <= last).then(|| values.fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.least..);
        let mut named = named.filter(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = named.next().map(|(_, value)| value);
        value
            .or_else(|| number(text))
            .filter(|value| (self.least..=self.most).contains(value))
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

impl Cron {
    /// Whether any year has such a day. Every day has its weekday in some year.
    fn comes(&self) -> bool {
        let mut months = LONGEST.iter().zip(MONTH.least..);
        self.either
            || months.any(|(longest, month)| {
                has(self.months, month) && self.days & ((1 << (longest + 1)) - 1) != 0
            })
    }

    /// The last minute that is met from `first` to `last`, both included.
    pub(super) fn latest(&self, first: DateTime, last: DateTime) -> Option<DateTime> {
        let (mut date, mut until) = (last.date(), minute_of(last));
        while date >= first.date() {
            if self.has_date(date)
                && let Some(time) = self.latest_time(until)
            {
                return Some(date.to_datetime(time)).filter(|found| *found >= first);
            }
            until = LAST_MINUTE;
            let is_month = has(self.months, unsigned(date.month()));
            let first_of_it = if is_month {
                date
            } else {
                date.first_of_month()
            };
            date = first_of_it.yesterday().ok()?;
        }
        None
    }

    /// The first minute that is met from `first` on, before `end`.
    pub(super) fn earliest(&self, first: DateTime, end: DateTime) -> Option<DateTime> {
        let mut date = first.date();
        let is_begun = first.second() > 0 || first.subsec_nanosecond() > 0;
        let mut from = minute_of(first) + u32::from(is_begun);
        while date <= end.date() {
            if self.has_date(date)
                && let Some(time) = self.earliest_time(from)
            {
                return Some(date.to_datetime(time)).filter(|found| *found < end);
            }
            from = 0;
            let is_month = has(self.months, unsigned(date.month()));
            let last_of_it = if is_month { date } else { date.last_of_month() };
            date = last_of_it.tomorrow().ok()?;
        }
        None
    }

    fn has_date(&self, date: Date) -> bool {
        let day = has(self.days, unsigned(date.day()));
        let weekday = unsigned(date.weekday().to_sunday_zero_offset());
        let weekday = has(self.weekdays, weekday);
        let is_day = if self.either {
            day || weekday
        } else {
            day && weekday
        };
        is_day && has(self.months, unsigned(date.month()))
    }

    fn latest_time(&self, until: u32) -> Option<Time> {
        let hours = (0..=until / 60).rev().filter(|hour| has(self.hours, *hour));
        let mut times = hours.filter_map(|hour| {
            let most = if hour == until / 60 { until % 60 } else { 59 };
            let minute = (0..=most).rev().find(|minute| has(self.minutes, *minute))?;
            time(hour, minute)
        });
        times.next()
    }

    fn earliest_time(&self, from: u32) -> Option<Time> {
        let hours = (from / 60..24).filter(|hour| has(self.hours, *hour));
        let mut times = hours.filter_map(|hour| {
            let least = if hour == from / 60 { from % 60 } else { 0 };
            let minute = (least..60).find(|minute| has(self.minutes, *minute))?;
            time(hour, minute)
        });
        times.next()
    }
}

fn has(set: u64, value: u32) -> bool {
    set >> value & 1 == 1
}

/// The calendar's numbers, which are never below 0.
fn unsigned(number: i8) -> u32 {
    u32::from(number.unsigned_abs())
}

fn minute_of(at: DateTime) -> u32 {
    unsigned(at.hour()) * 60 + unsigned(at.minute())
}

fn time(hour: u32, minute: u32) -> Option<Time> {
    let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
    Time::new(hour, minute, 0, 0).ok()
}
