//! What is told while models are served: one event type, three ways to show it.

mod json;
mod plain;
mod terminal;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Event {
    /// The gateway is open.
    Gateway { listen: SocketAddr },
    /// A model's status changed.
    Model {
        model: String,
        ready: bool,
        reason: String,
        message: String,
        stalled: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
        replicas: String,
    },
    /// A decision with its reasons.
    Decision { model: String, why: Vec<String> },
    /// A replica's state changed.
    Replica(ReplicaEvent),
    /// A line that a replica wrote to its log.
    Log { replica: String, line: String },
    /// Bytes while a source is resolved or a model is loaded.
    Load {
        replica: String,
        phase: String,
        bytes_done: u64,
        bytes_total: u64,
    },
    /// A fault in what the user gave; what serves goes on.
    Fault { message: String },
    /// Everything is being drained.
    Stopping,
    /// No process is left.
    Stopped,
}

/// A replica's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaEvent {
    pub(crate) model: String,
    pub(crate) revision: String,
    pub(crate) replica: String,
    pub(crate) phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    Starting,
    Ready,
    /// It was ready and does not answer its readiness probe.
    Unready,
    Draining,
    Failed,
    /// It failed and starts again after a while.
    Backoff,
    Stopped,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Draining => "draining",
            Self::Failed => "failed",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }
}

/// Where events are sent.
pub(crate) type Events = UnboundedSender<Event>;

/// A way to show events.
trait Printer: Send {
    fn show(&mut self, event: &Event);
}

/// Shows every event until the last sender is gone: as JSON if asked for, live on a terminal, as
/// plain lines elsewhere. Writing is blocking, so this wants a thread of its own.
pub(crate) fn print_all(mut events: UnboundedReceiver<Event>, json: bool) {
    let mut printer: Box<dyn Printer> = if json {
        Box::new(json::Json)
    } else if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        Box::new(terminal::Terminal::new())
    } else {
        Box::new(plain::Plain)
    };
    while let Some(event) = events.blocking_recv() {
        printer.show(&event);
    }
}
