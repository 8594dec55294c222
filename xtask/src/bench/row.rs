//! What a benchmark tells.

use serde::Serialize;
use std::fmt::Write;

/// Measurements of one thing that differ by more than this factor were disturbed.
const NOISE: f64 = 1.5;

/// Two measurements made one after the other, in the same unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: f64,
    pub(crate) peer: f64,
}

impl Pair {
    /// Of two that are alike it is 1, if both are nothing too.
    fn ratio(&self) -> f64 {
        let Self { ours, peer } = self;
        if ours == peer { 1.0 } else { ours / peer }
    }
}

/// One line of a result.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Median of our measurements.
    pub(crate) ours: f64,
    /// Median of the peer's.
    pub(crate) peer: f64,
    pub(crate) peer_name: String,
    pub(crate) unit: String,
    /// Median of the pairs' ratios, ours / peer. Of units a second, more than 1 means that we are
    /// faster; of a time, less than 1.
    pub(crate) ratio: f64,
    /// The least and the greatest of the pairs' ratios.
    pub(crate) spread: [f64; 2],
    /// Number of pairs.
    pub(crate) runs: usize,
    /// Whether one side's measurements lie so far apart that the ratio tells little.
    pub(crate) noisy: bool,
}

impl Row {
    pub(crate) fn new(name: &str, peer_name: &str, unit: &str, pairs: &[Pair]) -> Self {
        let ours = sorted(pairs.iter().map(|pair| pair.ours));
        let peer = sorted(pairs.iter().map(|pair| pair.peer));
        let ratios = sorted(pairs.iter().map(Pair::ratio));
        Self {
            name: name.to_owned(),
            ours: median(&ours),
            peer: median(&peer),
            peer_name: peer_name.to_owned(),
            unit: unit.to_owned(),
            ratio: median(&ratios),
            spread: ends(&ratios),
            runs: pairs.len(),
            noisy: is_noisy(&ours) || is_noisy(&peer),
        }
    }
}

/// The least and the greatest of sorted values.
fn ends(sorted: &[f64]) -> [f64; 2] {
    let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
    [end(sorted.first()), end(sorted.last())]
}

fn is_noisy(sorted: &[f64]) -> bool {
    let [least, greatest] = ends(sorted);
    greatest > NOISE * least
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of values in any order; not a number when there are none.
#[cfg(target_os = "linux")]
pub(crate) fn middle(values: &[f64]) -> f64 {
    median(&sorted(values.iter().copied()))
}

/// The middle of sorted values; not a number when there are none.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (1, Some(value)) => *value,
        (0, Some(value)) => f64::midpoint(sorted[middle - 1], *value),
        _ => f64::NAN,
    }
}

/// The rows as an aligned table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<24} {:>9} {:>9} {:<12} {:>6} {:>13} {:>5}  {}\n",
        "name", "ours", "peer", "unit", "ratio", "spread", "runs", "peer"
    );
    for row in rows {
        let spread = format!("{:.2} to {:.2}", row.spread[0], row.spread[1]);
        let _ = writeln!(
            text,
            "{:<24} {:>9.1} {:>9.1} {:<12} {:>6.2} {spread:>13} {:>5}  {}{}",
            row.name,
            row.ours,
            row.peer,
            row.unit,
            row.ratio,
            row.runs,
            row.peer_name,
            if row.noisy { " *" } else { "" }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_pairs() {
        let pairs = [(1.0, 2.0), (9.0, 3.0), (4.0, 4.0)].map(|(ours, peer)| Pair { ours, peer });
        let row = Row::new("x", "other", "tokens/s", &pairs);
        assert_eq!((row.ours, row.peer, row.ratio), (4.0, 3.0, 1.0));
        assert_eq!(row.spread, [0.5, 3.0]);
        assert_eq!(row.runs, 3);
        assert!(row.noisy, "1 and 9 of the same thing");
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert!(median(&[]).is_nan());
        let nothing = Pair {
            ours: 0.0,
            peer: 0.0,
        };
        assert_eq!(Row::new("x", "other", "1/h", &[nothing]).ratio, 1.0);
    }

    #[test]
    fn the_table_has_a_line_a_row() {
        let row = Row::new(
            "x",
            "other",
            "tokens/s",
            &[Pair {
                ours: 3.0,
                peer: 2.0,
            }],
        );
        let text = table(&[row]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("1.50 to 1.50"), "{text}");
        assert!(!text.contains('*'), "{text}");
    }
}
