//! For a terminal.

use super::text::one_line;
use super::{Report, Row, number};

/// Regressions that are shown; the JSON has all.
const SHOWN: usize = 10;
/// Characters of an id, and of a prompt.
const ID: usize = 24;
const PROMPT: usize = 48;

pub(super) fn table(report: &Report) -> String {
    let mut lines = vec![format!("evaluation  {}", one_line(&report.name, 64))];
    let facts = report.facts().into_iter();
    lines.extend(facts.map(|(name, value)| format!("{name:<12}{value}")));
    let mut rows: Vec<_> = report.regressed().take(SHOWN).map(cells).collect();
    if !rows.is_empty() {
        rows.insert(0, ["item", "stable", "canary", "prompt"].map(str::to_owned));
        lines.push(String::new());
        lines.extend(aligned(&rows));
        let left = report.regressed().skip(SHOWN).count();
        if left > 0 {
            lines.push(format!("… and {left} more"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn cells(row: &Row) -> [String; 4] {
    [
        one_line(&row.id, ID),
        number(row.stable.score),
        number(row.canary.score),
        one_line(&row.prompt, PROMPT),
    ]
}

/// Each column as wide as its widest cell, numbers to the right.
fn aligned(rows: &[[String; 4]]) -> Vec<String> {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let [id, stable, canary] = [width(0), width(1), width(2)];
    let lines = rows.iter().map(|row| {
        let [a, b, c, d] = row;
        format!("{a:<id$}  {b:>stable$}  {c:>canary$}  {d}")
    });
    lines.collect()
}
