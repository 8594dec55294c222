use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::config::Pace;
use crate::errors::GatewayError;
use crate::observe::AccessRecord;

/// A caller's body that must come at a pace.
#[derive(Debug)]
pub(super) struct Paced {
    body: Incoming,
    pace: Pace,
    pulse: Arc<Pulse>,
    record: AccessRecord,
}

/// Why no more of a body comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It came too slowly.
    #[error("it came too slowly")]
    TooSlow { pause: Duration },
    /// The connection broke, or the body is malformed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Paced {
    pub(super) fn new(body: Incoming, pace: Pace, pulse: Arc<Pulse>, record: AccessRecord) -> Self {
        Self {
            body,
            pace,
            pulse,
            record,
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let now = Instant::now();
            if self.pulse.body_waits(context.waker(), now, &self.pace) {
                return Poll::Pending;
            }
            let pause = self.pace.body_pause;
            return Poll::Ready(Some(Err(BodyError::TooSlow { pause })));
        };
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.pulse.body_came(bytes);
                self.record.received(bytes);
            }
            Some(Err(_)) | None => self.pulse.body_ended(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.pulse.body_ended();
    }
}

/// What a caller is told whose body can't be read to its end.
pub(crate) fn unread(error: &axum::Error) -> GatewayError {
    let cause = std::error::Error::source(error);
    match cause.and_then(|cause| cause.downcast_ref()) {
        Some(BodyError::TooSlow { pause }) => GatewayError::BodyTooSlow { pause: *pause },
        _ => GatewayError::BodyIncomplete(error.to_string()),
    }
}

/// An answer's body on its way to the caller. When it is dropped the request is over, however it
/// ended.
#[derive(Debug)]
pub(super) struct Answered {
    body: Body,
    /// Bytes that it is said to have, where that is known.
    length: Option<u64>,
    sent: u64,
    record: AccessRecord,
    _turn: Turn,
}

/// A connection's request from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Turn(pub(super) Arc<Pulse>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.request_ended(Instant::now());
    }
}

impl Answered {
    /// `length`: of the body, if it is known and all of it will be sent.
    pub(super) fn new(body: Body, length: Option<u64>, record: AccessRecord, turn: Turn) -> Self {
        Self {
            length: length.or(body.size_hint().exact()),
            body,
            sent: 0,
            record,
            _turn: turn,
        }
    }

    /// Whoever sends the answer drops the body without asking for its end where it knows that
    /// nothing is to come.
    fn is_complete(&self) -> bool {
        self.body.is_end_stream() || self.length.is_some_and(|length| self.sent >= length)
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.sent += bytes as u64;
                self.record.sent(bytes);
            }
            Poll::Ready(Some(Err(_))) => self.record.broke(),
            Poll::Ready(None) => self.record.completed(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.is_complete() {
            self.record.completed();
        }
    }
}
