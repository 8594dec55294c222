//! Outcomes as rows of one table, for the text and for the page.

use super::short;
use crate::traffic::Outcome;

/// Heads of the columns.
pub(super) const HEAD: [&str; 9] = [
    "POLICY",
    "WITHIN SLO",
    "TTFT P50",
    "P95",
    "P99",
    "REPLICA HOURS",
    "SCALINGS",
    "TURNS/H",
    "FAILED",
];

/// The cells of an outcome, in the order of [`HEAD`].
pub(super) fn cells(outcome: &Outcome) -> [String; 9] {
    [
        outcome.policy.clone(),
        percent(outcome.attainment()),
        short(outcome.ttft.p50),
        short(outcome.ttft.p95),
        short(outcome.ttft.p99),
        format!("{:.2}", outcome.replica_hours),
        outcome.scale_events.to_string(),
        format!("{:.1}", outcome.oscillation()),
        outcome.failed.to_string(),
    ]
}

/// Rounded down: what is told as reached has been reached.
fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 10_000.0).floor() / 100.0)
}

/// One outcome a line below a head, in columns; numbers stand at their right.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(outcomes.iter().map(cells));
    let width = |column: usize| {
        let cells = rows.iter().map(|cells| cells[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |cells: &[String; 9]| {
        let mut line = format!("{:<1$}", cells[0], widths[0]);
        for (cell, width) in cells.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        line + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::traffic::Quantiles;

    #[test]
    fn outcomes_are_told_in_columns() {
        let first = Outcome {
            policy: "chandler".into(),
            requests: 3000,
            within_slo: 2999,
            ttft: Quantiles {
                p50: Duration::from_millis(180),
                p95: Duration::from_millis(1234),
                p99: Duration::from_secs(150),
            },
            replica_hours: 12.3456,
            scale_events: 7,
            direction_changes: 3,
            length: Duration::from_secs(7200),
            ..Outcome::default()
        };
        let second = Outcome {
            policy: "fixed=2".into(),
            requests: 4,
            within_slo: 1,
            failed: 3,
            ..Outcome::default()
        };
        let wanted = "\
POLICY    WITHIN SLO  TTFT P50   P95   P99  REPLICA HOURS  SCALINGS  TURNS/H  FAILED
chandler      99.96%     180ms  1.2s  150s          12.35         7      1.5       0
fixed=2       25.00%       0ms   0ms   0ms           0.00         0      0.0       3
";
        assert_eq!(table(&[first, second]), wanted);
    }
}
