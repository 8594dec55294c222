//! Where the process stands: how far the model is loaded, whether new requests are welcome, and
//! how many are being answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// What the process does before, and once, it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finds out which files the source stands for.
    #[default]
    Resolving,
    /// Fetches them.
    Downloading,
    /// Checks their digests.
    Verifying,
    /// Reads the weights.
    Loading,
    /// Answers a first request of its own.
    Warming,
    /// Serves.
    Ready,
    /// Cannot serve this model.
    Failed,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 7] = [
        Self::Resolving,
        Self::Downloading,
        Self::Verifying,
        Self::Loading,
        Self::Warming,
        Self::Ready,
        Self::Failed,
    ];

    /// The word of the API and of the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// How far the load is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes of this phase that are done.
    pub bytes_done: u64,
    /// Bytes of this phase in all; 0 while unknown.
    pub bytes_total: u64,
    /// A CamelCase word, once it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// What runs may finish; nothing new starts.
    Draining,
    /// What still runs ends now.
    Ending,
}

/// Why no ticket was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The model is not loaded yet.
    Loading(Phase),
    /// The process is about to end.
    Draining,
}

/// Shared by everything that serves.
#[derive(Debug)]
pub struct Lifecycle {
    progress: Mutex<Progress>,
    stage: watch::Sender<Stage>,
    in_flight: watch::Sender<usize>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            progress: Mutex::default(),
            stage: watch::Sender::new(Stage::Serving),
            in_flight: watch::Sender::new(0),
        }
    }
}

impl Lifecycle {
    /// How far the load is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// Enters a phase, or tells how far it is.
    pub fn advance(&self, phase: Phase, bytes_done: u64, bytes_total: u64) {
        let mut progress = self.lock();
        progress.phase = phase;
        progress.bytes_done = bytes_done;
        progress.bytes_total = bytes_total;
    }

    /// Enters a phase, and leaves the bytes as the last one told them.
    pub fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// The model cannot be served.
    pub fn fail(&self, reason: &str, message: &str) {
        let mut progress = self.lock();
        progress.phase = Phase::Failed;
        progress.reason = Some(reason.to_owned());
        progress.message = Some(message.to_owned());
    }

    /// Whether new requests are welcome.
    ///
    /// # Errors
    /// Why they are not.
    pub fn check(&self) -> Result<(), Closed> {
        let phase = self.lock().phase;
        if *self.stage.borrow() != Stage::Serving {
            Err(Closed::Draining)
        } else if phase != Phase::Ready {
            Err(Closed::Loading(phase))
        } else {
            Ok(())
        }
    }

    /// Lets one request in; it is in flight until the ticket is dropped.
    ///
    /// # Errors
    /// Why new requests are not welcome.
    pub fn admit(self: &Arc<Self>) -> Result<Ticket, Closed> {
        // Counted before it is checked, so that a drain that starts in between waits for it.
        self.in_flight.send_modify(|count| *count += 1);
        let ticket = Ticket {
            lifecycle: Arc::clone(self),
            stage: self.stage.subscribe(),
        };
        self.check()?;
        Ok(ticket)
    }

    /// Welcomes no more requests.
    pub fn drain(&self) {
        self.raise(Stage::Draining);
    }

    /// Ends what still runs.
    pub fn end(&self) {
        self.raise(Stage::Ending);
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }

    /// Requests being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    fn raise(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let later = *stage < to;
            if later {
                *stage = to;
            }
            later
        });
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's right to be answered.
#[derive(Debug)]
pub struct Ticket {
    lifecycle: Arc<Lifecycle>,
    stage: watch::Receiver<Stage>,
}

impl Ticket {
    /// Resolves when the request has to end now, finished or not.
    pub async fn ended(&self) {
        let mut stage = self.stage.clone();
        // The sender lives in `self.lifecycle`, so the wait cannot fail.
        let _ = stage.wait_for(|stage| *stage == Stage::Ending).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lifecycle.in_flight.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_those_let_in_and_lets_no_more_in() {
        let lifecycle = Arc::new(Lifecycle::default());
        let early = lifecycle.admit().err();
        assert_eq!(early, Some(Closed::Loading(Phase::Resolving)));
        lifecycle.enter(Phase::Ready);
        let ticket = lifecycle.admit().unwrap();
        lifecycle.drain();
        assert_eq!(lifecycle.admit().err(), Some(Closed::Draining));
        assert_eq!(lifecycle.in_flight(), 1);
        lifecycle.end();
        ticket.ended().await;
        drop(ticket);
        lifecycle.idle().await;
        lifecycle.drain();
        assert_eq!(lifecycle.check(), Err(Closed::Draining));
    }
}
