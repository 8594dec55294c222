use std::error::Error;
use std::iter::successors;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::line::{LineError, Shared};
use super::pulse::Pulse;
use crate::config::Pace;
use crate::errors::GatewayError;
use crate::observe::AccessRecord;

/// A caller's body that must come at a pace.
#[derive(Debug)]
pub(super) struct Paced<S> {
    line: Shared<S>,
    pace: Pace,
    pulse: Arc<Pulse>,
    record: AccessRecord,
    ended: bool,
}

/// Why no more of a body comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It came too slowly.
    #[error("it came too slowly")]
    TooSlow { pause: Duration },
    /// The connection broke, or the body is malformed.
    #[error(transparent)]
    Broken(#[from] LineError),
}

impl<S> Paced<S> {
    pub(super) fn new(
        line: Shared<S>,
        pace: Pace,
        pulse: Arc<Pulse>,
        record: AccessRecord,
    ) -> Self {
        Self {
            line,
            pace,
            pulse,
            record,
            ended: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> HttpBody for Paced<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(data) = self.line.lock().poll_body(cx) else {
            let now = Instant::now();
            if self.pulse.body_waits(cx.waker(), now, &self.pace) {
                return Poll::Pending;
            }
            let pause = self.pace.body_pause;
            self.ended = true;
            return Poll::Ready(Some(Err(BodyError::TooSlow { pause })));
        };
        match &data {
            Some(Ok(data)) => {
                self.pulse.body_came(data.len());
                self.record.received(data.len());
            }
            Some(Err(_)) | None => {
                self.ended = true;
                self.pulse.body_ended();
            }
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data?))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.line.lock().body_left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let left = if self.ended {
            Some(0)
        } else {
            self.line.lock().body_left()
        };
        left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl<S> Drop for Paced<S> {
    fn drop(&mut self) {
        if !self.ended {
            self.pulse.body_ended();
        }
    }
}

/// What a caller is told whose body can't be read to its end.
pub(crate) fn unread(error: &(dyn Error + 'static)) -> GatewayError {
    let mut causes = successors(Some(error), |error| (*error).source());
    match causes.find_map(|cause| cause.downcast_ref()) {
        Some(BodyError::TooSlow { pause }) => GatewayError::BodyTooSlow { pause: *pause },
        _ => GatewayError::BodyIncomplete(error.to_string()),
    }
}
