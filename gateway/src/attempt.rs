use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header, response};
use tokio::time::Instant;

use crate::call::Call;
use crate::config::GatewayConfig;
use crate::event_gate::EventTooLong;
use crate::headers::{self, Kind};
use crate::in_flight::Lease;
use crate::metrics::Metrics;
use crate::observe::Attempt;
use crate::pieces::Pieces;
use crate::stream::EventSource;
use crate::upstream::{Flow, Opener, SendError};

/// The way to replicas.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    opener: Opener,
    hold_limit: usize,
    metrics: Metrics,
}

/// A replica's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) parts: response::Parts,
    pub(crate) body: AnswerBody,
    /// When its head had come.
    pub(crate) at: Instant,
}

/// As much of a body as must be seen before the caller gets any of the answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Its first events, and where more come from.
    Events(Bytes, EventSource),
    /// Its beginning, and where more comes from.
    Open(Bytes, Flow),
}

/// Why a replica gave no answer. The caller has been sent nothing yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error("it could not be reached ({0})")]
    Unreachable(String),
    #[error("it is not ready")]
    NotReady,
    #[error("it was lost before it answered ({0})")]
    LostBeforeHead(String),
    #[error("its answer broke off ({0})")]
    BrokeOff(String),
    #[error(transparent)]
    EventTooLong(#[from] EventTooLong),
}

impl AttemptError {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "ReplicaUnreachable",
            Self::NotReady => "ReplicaNotReady",
            Self::LostBeforeHead(_) => "ReplicaLost",
            Self::BrokeOff(_) => "AnswerBrokeOff",
            Self::EventTooLong(_) => "EventTooLong",
        }
    }

    /// Whether the replica may have been lost over this very request.
    pub(crate) fn took_the_request(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::NotReady)
    }
}

impl Upstream {
    pub(crate) fn new(config: &GatewayConfig, metrics: Metrics) -> Self {
        Self {
            opener: Opener::new(config.connect_timeout),
            hold_limit: config.hold_limit,
            metrics,
        }
    }

    /// Sends `call` to the replica of `lease`, which has `left` to answer it. Dropping the future, or the answer, closes the
    /// connection, by which the replica learns that nobody waits.
    pub(crate) async fn attempt(
        &self,
        call: &Call,
        lease: &Lease,
        left: Duration,
        attempt: &Attempt,
    ) -> Result<Box<Answer>, AttemptError> {
        let request = || call.to_replica(lease, left, attempt);
        let (pool, addr) = (&lease.replica.pool, lease.endpoint.addr);
        let sent = pool.send(&self.opener, addr, request).await;
        let (mut parts, said, body) = sent.map_err(AttemptError::from)?;
        let at = Instant::now();
        attempt.answered(parts.status);
        let took = at.saturating_duration_since(attempt.began());
        self.metrics
            .upstream_seconds(&call.model, took.as_secs_f64());
        if parts.status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(AttemptError::NotReady);
        }
        let kind = headers::kind(&parts.headers);
        if said.speaks_of_hop {
            headers::for_caller(&mut parts.headers);
        }
        let body = match kind {
            Kind::Json => hold(body, self.hold_limit).await?,
            Kind::Events => {
                // An error event may follow what the replica meant to send.
                parts.headers.remove(header::CONTENT_LENGTH);
                first_events(body).await?
            }
            Kind::Other => AnswerBody::Open(Bytes::new(), body),
        };
        // It goes through many hands.
        Ok(Box::new(Answer { parts, body, at }))
    }
}

impl From<SendError> for AttemptError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unreachable(error) => Self::Unreachable(with_causes(&error)),
            SendError::Lost(error) => Self::LostBeforeHead(with_causes(&error)),
        }
    }
}

/// Waits for the whole body, so that a replica that dies midway can be replaced unseen. One over
/// `limit` is let through as it comes.
async fn hold(mut body: Flow, limit: usize) -> Result<AnswerBody, AttemptError> {
    let mut pieces = Pieces::new(0);
    while let Some(data) = body.data().await {
        pieces.push(data.map_err(|error| AttemptError::BrokeOff(with_causes(&error)))?);
        if pieces.len() > limit {
            return Ok(AnswerBody::Open(pieces.whole(), body));
        }
    }
    Ok(AnswerBody::Whole(pieces.whole()))
}

async fn first_events(body: Flow) -> Result<AnswerBody, AttemptError> {
    let mut source = EventSource::new(body);
    match source.next().await? {
        Some(first) => Ok(AnswerBody::Events(first, source)),
        None => Err(AttemptError::BrokeOff("it ended without an event".into())),
    }
}

/// An error and what caused it, since hyper's own text alone says little.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
