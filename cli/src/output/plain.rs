use std::io::Write;

use super::{Event, Printer, ReplicaEvent};

/// One line of text an event, for logs and pipes.
pub(super) struct Plain;

impl Printer for Plain {
    fn show(&mut self, event: &Event) {
        // A reader that has gone is no reason to stop serving.
        if let Some(line) = line(event) {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}

/// The event in one line; `None` for what only a live view shows.
pub(super) fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Gateway { listen } => format!("gateway: open on http://{listen}"),
        Event::Model {
            model,
            ready,
            reason,
            message,
            ..
        } => {
            let state = if *ready { "ready" } else { "not ready" };
            format!("{model}: {state} ({reason}): {message}")
        }
        Event::Decision { model, why } => format!("{model}: {}", why.join("; ")),
        Event::Replica(replica) => replica_line(replica),
        Event::Log { replica, line } => format!("{replica}: {}", log_message(line)?),
        Event::Load { .. } => return None,
        Event::Fault { message } => format!("error: {message}"),
        Event::Stopping => {
            "stopping: requests in flight may finish; again to stop at once".to_owned()
        }
        Event::Stopped => "stopped".to_owned(),
    })
}

fn replica_line(replica: &ReplicaEvent) -> String {
    let mut line = format!("{}: {}", replica.replica, replica.phase.as_str());
    if let Some(pid) = replica.pid {
        line += &format!(", process {pid}");
    }
    if let (Some(reason), Some(message)) = (&replica.reason, &replica.message) {
        line += &format!(" ({reason}): {message}");
    }
    line
}

/// The text of a warning or an error in a replica's JSON log; what is not JSON passes whole.
fn log_message(line: &str) -> Option<String> {
    let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else {
        return Some(line.to_owned());
    };
    let level = entry.get("level")?.as_str()?;
    let fields = entry.get("fields").unwrap_or(&entry);
    let message = fields.get("message")?.as_str()?;
    matches!(level, "WARN" | "ERROR").then(|| message.to_owned())
}
