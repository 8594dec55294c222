use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::http1::{Decoder, Framing, HeadReader, Malformed, Output, Piece, Said, poll_read};

/// Bytes that are read while an answer is awaited, to see whether the caller is still there.
const AHEAD: usize = 64 << 10;
/// What a caller waits for that asks before it sends a body.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A caller's connection as bytes, with their moments noted in its [`Pulse`]. The conversation on
/// it and the body of the request that is being answered share it.
#[derive(Debug)]
pub(super) struct Shared<S>(Arc<Mutex<Line<S>>>);

#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    input: BytesMut,
    pub(super) output: Output,
    head: HeadReader,
    /// Of the body of the request that is being answered.
    body: Decoder,
    /// Whether the caller waits to be told to send that body.
    asks_first: bool,
    pulse: Arc<Pulse>,
    write_blocked: bool,
}

/// Why no more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the caller has gone")]
    Gone,
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl<S> Shared<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self(Arc::new(Mutex::new(Line {
            stream,
            input: BytesMut::new(),
            output: Output::default(),
            head: HeadReader::default(),
            body: Decoder::new(Framing::Length(0)),
            asks_first: false,
            pulse,
            write_blocked: false,
        })))
    }

    /// Never held across a wait.
    pub(super) fn lock(&self) -> MutexGuard<'_, Line<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// The next request's head; `None` if the caller asks for nothing more.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(request::Parts, Said)>, LineError>> {
        loop {
            if !self.input.is_empty() {
                self.pulse.bytes_came();
                if let Some(head) = self.head.request(&mut self.input)? {
                    self.pulse.request_came();
                    return Poll::Ready(Ok(Some(head)));
                }
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(match self.head.has_begun() {
                    false => Ok(None),
                    true => Err(Malformed::Short.into()),
                });
            }
        }
    }

    /// Whether a part of the next request has come.
    pub(super) fn has_begun(&self) -> bool {
        self.head.has_begun() || !self.input.is_empty()
    }

    /// A body so delimited follows, for which the caller may want to be asked.
    pub(super) fn begin_body(&mut self, framing: Framing, asks_first: bool) {
        self.body = Decoder::new(framing);
        self.asks_first = asks_first && !self.body.is_done();
    }

    /// Bytes of the body that are still to come, as far as that is known.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.body.left()
    }

    /// The next bytes of the request's body; `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LineError>>> {
        if self.asks_first && self.input.is_empty() {
            self.output.data(Bytes::from_static(GO_ON));
        }
        self.asks_first = false;
        if let Err(error) = ready!(self.poll_flush(cx)) {
            return Poll::Ready(Some(Err(error.into())));
        }
        loop {
            match self.body.next(&mut self.input) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Some(Err(Malformed::Short.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Throws away what is here of the body already; whether that was all of it.
    pub(super) fn drop_body(&mut self) -> bool {
        if self.asks_first {
            // Whether it will be sent, only the caller knows.
            return false;
        }
        while let Ok(Piece::Data(_)) = self.body.next(&mut self.input) {}
        self.body.is_done()
    }

    /// Ready once the caller has gone. What it sends meanwhile is kept, up to a bound.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Until the body is read, whoever reads it sees the end of the connection.
        while self.body.is_done() && self.input.len() < AHEAD {
            // Nearly always there is nothing, for which no memory is to be had.
            let mut little = [0; 256];
            let mut read = ReadBuf::new(&mut little);
            let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
            if result.is_err() || read.filled().is_empty() {
                return Poll::Ready(());
            }
            self.input.extend_from_slice(read.filled());
        }
        Poll::Pending
    }

    /// Writes all that is to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.output.len();
        let written = self.output.poll_write(&mut self.stream, cx);
        if self.write_blocked && self.output.len() < before {
            // A caller that takes a little at a time does take it.
            self.pulse.write_went_on();
            self.write_blocked = false;
        }
        // TLS may hold back what it was given.
        let written = match written {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_flush(cx),
            other => other,
        };
        match (written.is_pending(), self.write_blocked) {
            (true, false) => self.pulse.write_blocked(Instant::now()),
            (false, true) => self.pulse.write_went_on(),
            _ => {}
        }
        self.write_blocked = written.is_pending();
        written
    }

    /// Tells the caller that nothing more comes.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Reads what nobody will look at; 0 at the end.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.clear();
        self.poll_read(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read(&mut self.stream, &mut self.input, cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::config::Pace;

    #[tokio::test]
    async fn a_caller_that_takes_a_little_at_a_time_is_not_one_that_takes_nothing() {
        let pulse = Arc::new(Pulse::new(Instant::now()));
        pulse.request_came();
        let (ours, mut callers) = duplex(64);
        let line = Shared::new(ours, Arc::clone(&pulse));
        line.lock().output.data(Bytes::from_static(&[b'x'; 200]));
        let flush = || poll_fn(|cx| Poll::Ready(line.lock().poll_flush(cx).is_pending()));
        let pace = Pace {
            write_pause: Duration::from_secs(60),
            ..Pace::default()
        };
        let mut overdue = Vec::new();
        for _ in 0..2 {
            assert!(flush().await);
            let now = Instant::now();
            callers.read_exact(&mut [0; 64]).await.unwrap();
            assert!(flush().await);
            overdue.push(pulse.look(now + pace.write_pause, &pace).is_some());
            // Nothing more was taken since.
            assert!(flush().await);
            let later = Instant::now() + pace.write_pause;
            assert!(pulse.look(later, &pace).is_some());
        }
        assert_eq!(overdue, [false, false]);
    }
}
