use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::attempt::{AttemptError, with_causes};
use crate::errors::{GatewayError, OpenAiError};
use crate::event_gate::EventGate;
use crate::in_flight::Lease;
use crate::metrics::Exchange;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// The events of a replica's answer.
#[derive(Debug)]
pub(crate) struct EventSource {
    body: Incoming,
    gate: EventGate,
}

impl EventSource {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            body,
            gate: EventGate::default(),
        }
    }

    /// The next whole events, or `None` at an orderly end. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, AttemptError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| AttemptError::BrokeOff(with_causes(&error)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
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
    pub(crate) exchange: Exchange,
    pub(crate) status: StatusCode,
    /// Set when the gateway can wait no longer.
    pub(crate) ending: CancellationToken,
}

/// A body of server-sent events that begins with `first` and always ends well: with what the
/// replica said, or with an error event and `[DONE]`.
pub(crate) fn events(first: Bytes, source: EventSource, hold: Hold) -> Body {
    let relay = EventRelay {
        first: Some(first),
        source,
        hold,
        ended: false,
    };
    Body::from_stream(stream::unfold(relay, |mut relay| async {
        let events = relay.next().await?;
        Some((Ok::<_, Infallible>(events), relay))
    }))
}

struct EventRelay {
    first: Option<Bytes>,
    source: EventSource,
    hold: Hold,
    ended: bool,
}

impl EventRelay {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let next = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => tokio::select! {
                next = self.source.next() => next,
                () = self.hold.ending.cancelled() => return self.end(&GatewayError::ShuttingDown),
            },
        };
        if self.source.gate.done() {
            self.hold.exchange.ended(self.hold.status);
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
        self.hold.exchange.ended(error.status());
        let mut last = BytesMut::from(&b"data: "[..]);
        last.extend_from_slice(&OpenAiError::from(error).to_json());
        last.extend_from_slice(b"\n\n");
        last.extend_from_slice(DONE);
        Some(last.freeze())
    }
}

/// A body that passes on what comes, after `first`. A cut is a cut for the caller too: a body of
/// a kind unknown can't be ended well.
pub(crate) fn open(first: VecDeque<Bytes>, body: Incoming, hold: Hold) -> Body {
    Body::from_stream(stream::unfold((first, body, hold), next_frame))
}

type Open = (VecDeque<Bytes>, Incoming, Hold);

async fn next_frame((mut first, mut body, mut hold): Open) -> Option<(hyper::Result<Bytes>, Open)> {
    if let Some(frame) = first.pop_front() {
        return Some((Ok(frame), (first, body, hold)));
    }
    loop {
        let Some(frame) = body.frame().await else {
            hold.exchange.ended(hold.status);
            return None;
        };
        let data = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(_trailers)) => continue,
            Err(error) => {
                hold.exchange.ended(StatusCode::BAD_GATEWAY);
                Err(error)
            }
        };
        return Some((data, (first, body, hold)));
    }
}
