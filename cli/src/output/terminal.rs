use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plain::line;
use super::{Event, Phase, Printer, ReplicaEvent};

/// A live table: one row a model, one a replica, with a bar while it loads. What passes by is
/// printed above it.
pub(super) struct Terminal {
    screen: MultiProgress,
    rows: BTreeMap<String, ProgressBar>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            screen: MultiProgress::new(),
            rows: BTreeMap::new(),
        }
    }

    /// The row of `name`, kept in the order of names: a model's replicas follow it.
    fn row(&mut self, name: &str) -> ProgressBar {
        if let Some(row) = self.rows.get(name) {
            return row.clone();
        }
        let place = self.rows.range(..name.to_owned()).count();
        let row = self.screen.insert(place, ProgressBar::new(0));
        row.set_style(text_style());
        self.rows.insert(name.to_owned(), row.clone());
        row
    }

    fn replica(&mut self, replica: &ReplicaEvent) {
        if replica.phase == Phase::Stopped {
            if let Some(row) = self.rows.remove(&replica.replica) {
                row.finish_and_clear();
            }
            return;
        }
        let row = self.row(&replica.replica);
        row.set_style(text_style());
        let pid = replica
            .pid
            .map(|pid| format!("process {pid}"))
            .unwrap_or_default();
        let told = replica.message.as_deref().unwrap_or_default();
        row.set_message(format!(
            "  {:<28} {:<9} {pid} {told}",
            replica.replica,
            replica.phase.as_str()
        ));
        row.tick();
    }

    fn load(&mut self, replica: &str, phase: &str, done: u64, total: u64) {
        let row = self.row(replica);
        row.set_style(load_style());
        row.set_length(total);
        row.set_position(done);
        row.set_message(format!("  {replica:<28} {phase:<11}"));
    }
}

impl Printer for Terminal {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Replica(replica) => self.replica(replica),
            Event::Load {
                replica,
                phase,
                bytes_done,
                bytes_total,
            } => {
                self.load(replica, phase, *bytes_done, *bytes_total);
            }
            Event::Model {
                model,
                ready,
                reason,
                message,
                replicas,
                ..
            } => {
                let mark = if *ready { "●" } else { "○" };
                let row = self.row(model);
                row.set_message(format!(
                    "{mark} {model:<28} {replicas:<9} {reason}: {message}"
                ));
                row.tick();
            }
            Event::Decision { .. } => {}
            other => {
                if let Some(line) = line(other) {
                    // A terminal that has gone is no reason to stop serving.
                    let _ = self.screen.println(line);
                }
            }
        }
    }
}

fn text_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn load_style() -> ProgressStyle {
    let template = "{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
