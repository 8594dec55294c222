use std::io::Write;

use super::{Event, Printer};

/// One JSON object a line; replicas' logs pass through to stderr.
pub(super) struct Json;

impl Printer for Json {
    fn show(&mut self, event: &Event) {
        // A reader that has gone is no reason to stop serving.
        if let Event::Log { line, .. } = event {
            let _ = writeln!(std::io::stderr(), "{line}");
        } else if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}
