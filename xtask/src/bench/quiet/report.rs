//! What was measured, and whether it is quiet.

use super::accounts::Kind;
use super::processes::Usage;
use super::window::{Counts, Window, is_beat};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The most memory that an operator may occupy, KiB.
const MOST_MEMORY: u64 = 64 * 1024;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) models: u16,
    /// Replicas that served when the window began.
    pub(super) serving: u32,
    pub(super) started_in_seconds: u64,
    pub(super) window_seconds: u64,
    pub(super) empty: Window,
    pub(super) at_rest: Window,
    /// At the end of the second window, with the time that they computed in it.
    pub(super) processes: Vec<Usage>,
}

/// One thing that must hold.
struct Bar {
    what: String,
    holds: bool,
}

impl Report {
    pub(super) fn is_quiet(&self) -> bool {
        self.bars().iter().all(|bar| bar.holds)
    }

    fn bars(&self) -> Vec<Bar> {
        let of_chandler = |kind| {
            let accounts = ["operator", "gateway"].iter();
            accounts
                .map(|one| self.at_rest.asked(one, kind))
                .sum::<u64>()
        };
        let (writes, reads) = (of_chandler(Kind::Write), of_chandler(Kind::Read));
        let operators = self
            .processes
            .iter()
            .filter(|one| one.program == "operator");
        let most = operators.map(|one| one.resident).max().unwrap_or(u64::MAX);
        let bar = |holds, what| Bar { what, holds };
        vec![
            bar(
                self.serving >= u32::from(self.models),
                format!("{} of {} models served", self.serving, self.models),
            ),
            bar(
                writes == 0,
                format!("writes by Chandler, without its lease: {writes}"),
            ),
            bar(
                reads == 0,
                format!("gets and lists by Chandler, without its lease: {reads}"),
            ),
            bar(
                most < MOST_MEMORY,
                format!(
                    "memory of the larger operator: {:.1} MiB of 64",
                    mebibytes(most)
                ),
            ),
        ]
    }

    pub(super) fn shown(&self) -> String {
        let mut text = format!(
            "{} models, {} replicas serve, started in {} s; two windows of {} s\n\n",
            self.models, self.serving, self.started_in_seconds, self.window_seconds
        );
        let (empty, at_rest) = (&self.empty, &self.at_rest);
        // Which watches end in a window is chance; the file has them.
        let parts = [
            (
                "Chandler's requests, by account",
                &empty.accounts,
                &at_rest.accounts,
            ),
            ("everybody's writes", &empty.writes, &at_rest.writes),
            ("everybody's gets and lists", &empty.reads, &at_rest.reads),
        ];
        for (title, empty, at_rest) in parts {
            table(&mut text, title, empty, at_rest);
        }
        let _ = writeln!(
            text,
            "* elections, and the nodes' beat\nturns of the operator: {} without models, {} with\n",
            self.empty.turns, self.at_rest.turns
        );
        self.show_processes(&mut text);
        for bar in self.bars() {
            let _ = writeln!(
                text,
                "{} {}",
                if bar.holds { "ok   " } else { "FAILS" },
                bar.what
            );
        }
        text
    }

    fn show_processes(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{:<44} {:>9} {:>9} {:>9} {:>9} {:>7}",
            "memory in MiB, CPU in s of the window", "resident", "own", "of files", "peak", "CPU"
        );
        for one in &self.processes {
            let role = if one.leads { " (leads)" } else { "" };
            let name = format!("{}{role}", one.pod);
            let sizes = [one.resident, one.anonymous, one.files, one.peak].map(mebibytes);
            let [resident, own, files, peak] = sizes;
            let _ = writeln!(
                text,
                "{name:<44} {resident:>9.1} {own:>9.1} {files:>9.1} {peak:>9.1} {:>7.2}",
                one.cpu_seconds
            );
        }
        text.push('\n');
    }
}

fn table(text: &mut String, title: &str, empty: &Counts, at_rest: &Counts) {
    let _ = writeln!(text, "{title:<64} {:>8} {:>8}", "none", "at rest");
    let names: BTreeSet<_> = empty.keys().chain(at_rest.keys()).collect();
    for name in names {
        let count = |window: &Counts| window.get(name).copied().unwrap_or_default();
        let mark = if is_beat(name) { "  *" } else { "" };
        let (before, after) = (count(empty), count(at_rest));
        let _ = writeln!(text, "  {name:<62} {before:>8} {after:>8}{mark}");
    }
    text.push('\n');
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            models: 3,
            serving: 3,
            started_in_seconds: 9,
            window_seconds: 300,
            empty: Window::default(),
            at_rest: Window::default(),
            processes: Vec::new(),
        }
    }

    fn failing(report: &Report) -> usize {
        report.bars().iter().filter(|bar| !bar.holds).count()
    }

    #[test]
    fn each_bar_can_fail() {
        let mut report = report();
        assert_eq!(failing(&report), 1, "no operator was seen");
        report
            .at_rest
            .accounts
            .insert("operator lease".to_owned(), 150);
        report
            .at_rest
            .accounts
            .insert("operator watch".to_owned(), 5);
        assert_eq!(failing(&report), 1, "leases and watches are no matter");
        report.at_rest.accounts.insert("gateway read".to_owned(), 1);
        assert_eq!(failing(&report), 2);
        report
            .at_rest
            .accounts
            .insert("operator write".to_owned(), 1);
        assert_eq!(failing(&report), 3);
        report.serving = 2;
        assert_eq!(failing(&report), 4);
        assert!(!report.is_quiet());
        assert!(report.shown().contains("FAILS gets and lists by Chandler"));
    }
}
