use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, Scheme};
use http::{Request, StatusCode, Uri, header, response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::config::GatewayConfig;
use crate::connector::connector;
use crate::event_gate::EventTooLong;
use crate::headers::{self, Kind};
use crate::in_flight::Lease;
use crate::metrics::Metrics;
use crate::request::Call;
use crate::stream::EventSource;

/// How long an unused connection to a replica is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// The pooled connections to replicas.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    hold_limit: usize,
}

/// A replica's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) parts: response::Parts,
    pub(crate) body: AnswerBody,
}

/// As much of a body as must be seen before the caller gets any of the answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Its first events, and where more come from.
    Events(Bytes, EventSource),
    /// Its first frames, and where more come from.
    Open(VecDeque<Bytes>, Incoming),
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
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector(Some(config.connect_timeout)));
        Self {
            client,
            hold_limit: config.hold_limit,
        }
    }

    /// Sends `call` to the replica of `lease`. Dropping the future, or the answer, closes the
    /// connection, by which the replica learns that nobody waits.
    pub(crate) async fn attempt(
        &self,
        call: &Call,
        lease: &Lease,
        metrics: &Metrics,
    ) -> Result<Answer, AttemptError> {
        let request = request(call, lease)?;
        let began = Instant::now();
        let response = self.client.request(request).await.map_err(|error| {
            let message = with_causes(&error);
            if error.is_connect() {
                AttemptError::Unreachable(message)
            } else {
                AttemptError::LostBeforeHead(message)
            }
        })?;
        metrics.upstream_seconds(&call.model, began.elapsed().as_secs_f64());
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Err(AttemptError::NotReady);
        }
        let (mut parts, body) = response.into_parts();
        let kind = headers::kind(&parts.headers);
        headers::remove_hop_by_hop(&mut parts.headers);
        let body = match kind {
            Kind::Json => hold(body, self.hold_limit).await?,
            Kind::Events => {
                // An error event may follow what the replica meant to send.
                parts.headers.remove(header::CONTENT_LENGTH);
                first_events(body).await?
            }
            Kind::Other => AnswerBody::Open(VecDeque::new(), body),
        };
        Ok(Answer { parts, body })
    }
}

fn request(call: &Call, lease: &Lease) -> Result<Request<Full<Bytes>>, AttemptError> {
    let invalid = |error: http::Error| AttemptError::Unreachable(error.to_string());
    let address = lease.endpoint.addr.to_string();
    let authority: Authority = address.parse().map_err(|e| invalid(http::Error::from(e)))?;
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(call.path.clone())
        .build()
        .map_err(invalid)?;
    let mut request = Request::new(Full::new(call.body_for(&lease.served_name)));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = call.headers.clone();
    Ok(request)
}

/// Waits for the whole body, so that a replica that dies midway can be replaced unseen. One over
/// `limit` is let through as it comes.
async fn hold(mut body: Incoming, limit: usize) -> Result<AnswerBody, AttemptError> {
    let mut frames = VecDeque::new();
    let mut held = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| AttemptError::BrokeOff(with_causes(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        held += data.len();
        frames.push_back(data);
        if held > limit {
            return Ok(AnswerBody::Open(frames, body));
        }
    }
    let whole = if frames.len() == 1 {
        frames.pop_front().unwrap_or_default()
    } else {
        let mut whole = BytesMut::with_capacity(held);
        for frame in frames {
            whole.extend_from_slice(&frame);
        }
        whole.freeze()
    };
    Ok(AnswerBody::Whole(whole))
}

async fn first_events(body: Incoming) -> Result<AnswerBody, AttemptError> {
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
