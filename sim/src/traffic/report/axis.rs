//! Axes: where a value lies, and which values are written beside it.

use std::time::Duration;

/// How values are laid out from an axis' begin to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// From 0 to the end.
    Linear { end: f64 },
    /// Each power of ten as long as the others.
    Log { begin: f64, end: f64 },
}

impl Axis {
    /// From 0 to the first written value that is not below `most`.
    pub(super) fn linear(most: f64) -> Self {
        let step = step(most);
        let end = (most / step).ceil().max(1.0) * step;
        Self::Linear { end }
    }

    /// Whole powers of ten around the values from `least` to `most`.
    pub(super) fn log(least: f64, most: f64) -> Self {
        let begin = 10f64.powf(least.log10().floor());
        let end = 10f64.powf(most.log10().ceil());
        Self::Log {
            begin,
            end: end.max(begin * 10.0),
        }
    }

    /// Where a value lies, from 0 at the axis' begin to 1 at its end. What lies beyond lies there.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { end } => value / end,
            Self::Log { begin, end } => (value / begin).log10() / (end / begin).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    /// The values that are written.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { end } => {
                let step = step(end);
                let count = (end / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).collect()
            }
            Self::Log { begin, end } => {
                let count = (end / begin).log10().round() as i32;
                (0..=count).map(|index| begin * 10f64.powi(index)).collect()
            }
        }
    }
}

/// A distance of 1, 2 or 5 times a power of ten, of which about five reach `most`.
fn step(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf((most / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|times| times * power);
    // A rounding error is no reason for a larger step.
    let fits = |step: &f64| most / *step <= 5.0 + 1e-9;
    steps.into_iter().find(fits).unwrap_or(10.0 * power)
}

/// Seconds between written moments: the smallest of the usual ones of which at most eight fit.
pub(super) fn time_step(length: Duration) -> u64 {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let usual = [
        1,
        5,
        10,
        30,
        MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        7 * DAY,
    ];
    let fits = |step: &&u64| length.as_secs() / **step <= 8;
    *usual.iter().find(fits).unwrap_or(&(30 * DAY))
}

/// A moment as it is written where the moments are `step` seconds apart: in the largest unit that
/// divides the step.
pub(super) fn moment(seconds: u64, step: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units
        .iter()
        .find(|(length, _)| step.is_multiple_of(*length));
    let (length, name) = unit.copied().unwrap_or((1, "s"));
    format!("{} {name}", seconds / length)
}

/// A value as it is written beside its axis: without digits that tell nothing.
pub(super) fn number(value: f64) -> String {
    // Values are multiples of a step, so what lies beyond its digits is a rounding error.
    let rounded = format!("{value:.6}");
    let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
    rounded.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(number).collect()
    }

    #[test]
    fn linear_axes_end_at_a_round_value() {
        for (most, ticks) in [
            (9.0, "0 2 4 6 8 10"),
            (10.0, "0 2 4 6 8 10"),
            (0.37, "0 0.1 0.2 0.3 0.4"),
            (1234.0, "0 500 1000 1500"),
            (0.0, "0 0.2 0.4 0.6 0.8 1"),
            (f64::NAN, "0 0.2 0.4 0.6 0.8 1"),
        ] {
            assert_eq!(written(Axis::linear(most)).join(" "), ticks, "{most}");
        }
        assert_eq!(Axis::linear(9.0).place(2.5), 0.25);
        assert_eq!(Axis::linear(9.0).place(11.0), 1.0);
    }

    #[test]
    fn logarithmic_axes_have_whole_powers() {
        let axis = Axis::log(0.05, 130.0);
        assert_eq!(written(axis).join(" "), "0.01 0.1 1 10 100 1000");
        assert!((axis.place(1.0) - 0.4).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
        assert_eq!(written(Axis::log(1.0, 1.0)).join(" "), "1 10");
    }

    #[test]
    fn moments_have_the_unit_of_their_distance() {
        for (length, step, last) in [
            (50, 10, "50 s"),
            (3600, 600, "60 min"),
            (86_400, 10_800, "24 h"),
            (7 * 86_400, 86_400, "7 d"),
        ] {
            let found = time_step(Duration::from_secs(length));
            assert_eq!(found, step);
            assert_eq!(moment(length, found), last);
        }
    }
}
