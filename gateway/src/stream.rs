use std::convert::Infallible;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::StatusCode;
use tokio::time::{Instant, sleep_until};

use crate::accounts::Admission;
use crate::attempt::{AttemptError, with_causes};
use crate::compare::Measure;
use crate::errors::{GatewayError, OpenAiError};
use crate::event_gate::EventGate;
use crate::in_flight::Lease;
use crate::metrics::Exchange;
use crate::observe::Attempt;
use crate::signal::Signal;
use crate::upstream::{Flow, WireError};

pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// The events of a replica's answer.
#[derive(Debug)]
pub(crate) struct EventSource {
    body: Flow,
    gate: EventGate,
}

impl EventSource {
    pub(crate) fn new(body: Flow) -> Self {
        Self {
            body,
            gate: EventGate::default(),
        }
    }

    /// The next whole events, or `None` at an orderly end. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, AttemptError> {
        while let Some(data) = self.body.data().await {
            let data = data.map_err(|error| AttemptError::BrokeOff(with_causes(&error)))?;
            if let Some(events) = self.gate.push(data)? {
                return Ok(Some(events));
            }
        }
        Ok(self.gate.finish())
    }
}

/// What an answer that is being passed on holds until it ends or its caller goes: the place at
/// the replica, and the request in the metrics.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) lease: Lease,
    pub(crate) attempt: Attempt,
    pub(crate) exchange: Exchange,
    pub(crate) measure: Measure,
    pub(crate) admission: Admission,
    pub(crate) status: StatusCode,
    /// When the caller's time is up, and what it is told then.
    pub(crate) deadline: Instant,
    pub(crate) timed_out: GatewayError,
    /// Set when the gateway can wait no longer.
    pub(crate) ending: Signal,
}

/// A body of server-sent events that begins with `first` and always ends well: with what the
/// replica said, or with an error event and `[DONE]`.
pub(crate) fn events(first: Bytes, source: EventSource, hold: Hold) -> Body {
    let events = EventStream::new(first, source, hold).events();
    Body::from_stream(events.map(Ok::<_, Infallible>))
}

/// The last piece of a stream that can't be completed.
pub(crate) fn error_event(error: &GatewayError) -> Bytes {
    let mut last = BytesMut::from(&b"data: "[..]);
    last.extend_from_slice(&OpenAiError::from(error).to_json());
    last.extend_from_slice(b"\n\n");
    last.extend_from_slice(DONE);
    last.freeze()
}

/// A replica's events on their way to the caller.
pub(crate) struct EventStream {
    first: Option<Bytes>,
    source: EventSource,
    hold: Hold,
    ended: bool,
}

impl EventStream {
    pub(crate) fn new(first: Bytes, source: EventSource, hold: Hold) -> Self {
        Self {
            first: Some(first),
            source,
            hold,
            ended: false,
        }
    }

    /// Whole events, to a good end.
    pub(crate) fn events(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut stream| async {
            let events = stream.next().await?;
            Some((events, stream))
        })
    }

    /// The next events that are the caller's.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let events = self.pull().await?;
            let events = self.hold.admission.events(events);
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    async fn pull(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let next = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => tokio::select! {
                biased;
                next = self.source.next() => next,
                () = self.hold.ending.given() => return self.end(&GatewayError::ShuttingDown),
                () = sleep_until(self.hold.deadline) => {
                    let timed_out = self.hold.timed_out.clone();
                    return self.end(&timed_out);
                }
            },
        };
        if let Ok(Some(events)) = &next {
            self.hold.measure.events(events, Instant::now);
        }
        if self.source.gate.done() {
            self.hold.exchange.ended(self.hold.status);
            self.hold.measure.complete(self.hold.status, Instant::now);
        }
        match next {
            Ok(Some(events)) => Some(events),
            Ok(None) => self.end(&GatewayError::StreamCut),
            Err(error) => {
                let endpoint = &self.hold.lease.endpoint.id;
                tracing::warn!(endpoint, reason = error.reason(), %error, "stream cut");
                self.end(&GatewayError::StreamCut)
            }
        }
    }

    /// The last piece: nothing after `[DONE]`, else the error, so that no caller takes a part of
    /// an answer for all of it.
    fn end(&mut self, error: &GatewayError) -> Option<Bytes> {
        self.ended = true;
        if self.source.gate.done() {
            return None;
        }
        if !matches!(error, GatewayError::ShuttingDown) {
            self.hold.measure.cut();
        }
        self.hold.exchange.ended(error.status());
        self.hold.attempt.cut(error.reason());
        Some(error_event(error))
    }
}

/// A body that passes on what comes, after `first`. A cut is a cut for the caller too: a body of
/// a kind unknown can't be ended well.
pub(crate) fn open(first: Bytes, body: Flow, hold: Hold) -> Body {
    Body::from_stream(stream::unfold((first, body, hold), next_frame))
}

type Open = (Bytes, Flow, Hold);

async fn next_frame((first, mut body, mut hold): Open) -> Option<(Result<Bytes, WireError>, Open)> {
    if !first.is_empty() {
        return Some((Ok(first), (Bytes::new(), body, hold)));
    }
    let Some(data) = body.data().await else {
        hold.exchange.ended(hold.status);
        hold.measure.complete(hold.status, Instant::now);
        return None;
    };
    if data.is_err() {
        hold.exchange.ended(StatusCode::BAD_GATEWAY);
        hold.measure.cut();
    }
    Some((data, (first, body, hold)))
}
