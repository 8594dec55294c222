//! A request on its way through the engine, and how it ends.

use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;

use crate::engine::{Abandon, EngineError, Event, FinishReason, GenerateRequest, Recorder, Usage};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    pub(super) recorder: Recorder,
    pub(super) events: UnboundedSender<Event>,
    /// The request's, so that what this thread logs of it can be found.
    pub(super) span: Span,
}

impl Abandon for Job {
    fn is_abandoned(&self) -> bool {
        self.events.is_closed() || self.request.deadline.is_over()
    }

    fn tokens(&self) -> usize {
        self.request.prompt.len()
    }

    fn abandon(self) {
        if self.request.deadline.is_over() {
            self.recorder.time_out();
            // Who waits may have seen it first, and gone.
            let _ = self.events.send(Event::Failed(EngineError::TimeIsUp));
        } else {
            self.recorder.abort();
        }
    }
}

/// How a sequence ended, where nothing failed.
pub(super) enum Ended {
    Finished(FinishReason),
    Abandoned,
}

impl Job {
    /// Tells the client, the metrics and the log.
    pub(super) fn conclude(self, ended: Result<Ended, EngineError>) {
        let last = match ended {
            Ok(Ended::Finished(reason)) => {
                self.recorder.finish(reason);
                let usage = Usage {
                    prompt_tokens: self.request.prompt.len(),
                    completion_tokens: self.recorder.generated(),
                };
                Event::Finished { reason, usage }
            }
            Ok(Ended::Abandoned) => return self.abandon(),
            Err(error) => {
                let _request = self.span.enter();
                tracing::error!(reason = error.reason(), %error, "a request failed");
                self.recorder.fail();
                Event::Failed(error)
            }
        };
        // A client that has gone by now misses nothing.
        let _ = self.events.send(last);
    }
}
