//! For a terminal.

use super::text::one_line;
use super::{Report, Row, ScoreReport, number};

/// Items that are shown; the JSON has all.
const SHOWN: usize = 10;
/// Characters of an id, and of a prompt.
const ID: usize = 24;
const PROMPT: usize = 48;

pub(super) fn table(report: &Report) -> String {
    let rows = report.regressed().map(cells);
    let head = ["item", "stable", "canary", "prompt"];
    text(&report.name, &report.facts(), head, rows)
}

fn cells(row: &Row) -> [String; 4] {
    [
        one_line(&row.id, ID),
        number(row.stable.score),
        number(row.canary.score),
        one_line(&row.prompt, PROMPT),
    ]
}

/// Of one revision by itself: the items that could have been better.
pub(super) fn table_of_one(report: &ScoreReport) -> String {
    let rows = report.imperfect().map(|row| {
        let score = number(row.answer.score);
        [one_line(&row.id, ID), score, one_line(&row.prompt, PROMPT)]
    });
    let head = ["item", "score", "prompt"];
    text(&report.name, &report.facts(), head, rows)
}

/// The facts one a line, and the first rows below a head.
fn text<const COLUMNS: usize>(
    name: &str,
    facts: &[(&str, String)],
    head: [&str; COLUMNS],
    mut rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let mut lines = vec![format!("evaluation  {}", one_line(name, 64))];
    lines.extend(
        facts
            .iter()
            .map(|(name, value)| format!("{name:<12}{value}")),
    );
    let mut shown = vec![head.map(str::to_owned)];
    shown.extend(rows.by_ref().take(SHOWN));
    if shown.len() > 1 {
        lines.push(String::new());
        lines.extend(aligned(&shown));
        let left = rows.count();
        if left > 0 {
            lines.push(format!("… and {left} more"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Each column as wide as its widest cell: the names at the left, the numbers to the right, and the
/// prompts at the end.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            column if column + 1 == COLUMNS => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect()
}
