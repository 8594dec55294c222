use axum::body::Body;
use axum::response::{IntoResponse, Response};
use chandler_core::traffic::{Ask, NoRoute};
use chandler_crds::names;
use http::{HeaderName, HeaderValue, Request, response};

use crate::attempt::{Answer, AnswerBody, AttemptError};
use crate::errors::GatewayError;
use crate::gateway::{Gateway, Inner};
use crate::in_flight::Lease;
use crate::load_report;
use crate::metrics::Exchange;
use crate::request::Call;
use crate::stream::{self, Hold};
use crate::table::{Snapshot, draws};
use crate::wait::{GivenUp, Patience};

/// Answers a request to one of the API's model paths.
pub(crate) async fn proxy(gateway: &Gateway, request: Request<Body>) -> Response {
    let inner = gateway.inner();
    let (parts, body) = request.into_parts();
    let call = match Call::read(parts, body, &inner.config).await {
        Ok(call) => call,
        Err(error) => {
            inner.metrics.refused(error.status());
            return error.into_response();
        }
    };
    let mut effort = Effort::new(inner, &call);
    let answer = tokio::select! {
        answer = effort.run() => answer,
        () = inner.ending.cancelled() => Err(GatewayError::ShuttingDown),
    };
    let exchange = effort.exchange.take();
    match answer {
        Ok((answer, lease)) => {
            let exchange = exchange.unwrap_or_else(|| inner.metrics.exchange(&call.model));
            finish(inner, answer, lease, exchange)
        }
        Err(error) => {
            match exchange {
                Some(mut exchange) => exchange.ended(error.status()),
                None => inner.metrics.refused(error.status()),
            }
            error.into_response()
        }
    }
}

/// All that is done to get one request answered.
struct Effort<'a> {
    inner: &'a Inner,
    call: &'a Call,
    /// Begun when the model is seen to be one of the table's.
    exchange: Option<Exchange>,
    patience: Patience,
    tried: Vec<String>,
    losses: u32,
    last: Option<AttemptError>,
}

impl<'a> Effort<'a> {
    fn new(inner: &'a Inner, call: &'a Call) -> Self {
        Self {
            inner,
            call,
            exchange: None,
            patience: Patience::new(inner.config.wait_for_replica),
            tried: Vec::new(),
            losses: 0,
            last: None,
        }
    }

    /// Asks replica after replica until one answers. Nothing has gone to the caller while this
    /// runs, and generation has no side effects, so asking again is safe.
    async fn run(&mut self) -> Result<(Answer, Lease), GatewayError> {
        loop {
            let snapshot = self.inner.routes.load();
            if self.exchange.is_none() && snapshot.model(&self.call.model).is_some() {
                self.exchange = Some(self.inner.metrics.exchange(&self.call.model));
            }
            let ask = Ask {
                tried: &self.tried,
                draws: draws(self.inner.next_turn()),
                ..Ask::default()
            };
            match snapshot.lease(&self.call.model, &ask, self.inner.now()) {
                Ok(lease) => {
                    if let Some(answer) = self.ask(&lease).await? {
                        return Ok((answer, lease));
                    }
                }
                Err(NoRoute::UnknownModel) if snapshot.version > 0 => {
                    return Err(self.unknown(&snapshot));
                }
                Err(none) => self.wait(&snapshot, none).await?,
            }
        }
    }

    /// Asks one replica; `None` sends the request on to another.
    async fn ask(&mut self, lease: &Lease) -> Result<Option<Answer>, GatewayError> {
        if self.last.is_some() {
            self.inner.metrics.retried(&self.call.model);
        }
        let (upstream, metrics) = (&self.inner.upstream, &self.inner.metrics);
        let attempt = upstream.attempt(self.call, lease, metrics).await;
        self.learn(lease, &attempt);
        let error = match attempt {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let endpoint = &lease.endpoint.id;
        tracing::debug!(endpoint, reason = error.reason(), %error, "replica gave no answer");
        self.tried.push(endpoint.clone());
        if error.took_the_request() {
            self.losses += 1;
            if self.losses >= self.inner.config.max_losses {
                return Err(GatewayError::ReplicasLost {
                    model: self.call.model.clone(),
                    losses: self.losses,
                    last: error.to_string(),
                });
            }
        }
        self.last = Some(error);
        Ok(None)
    }

    /// Takes down what the attempt tells of the replica.
    fn learn(&self, lease: &Lease, attempt: &Result<Answer, AttemptError>) {
        let now = self.inner.now();
        match attempt {
            Ok(answer) => {
                if let Some(tokens) = load_report::queued_tokens(&answer.parts.headers) {
                    lease.report_queued_tokens(tokens, now);
                }
                if answer.parts.status.is_server_error() {
                    lease.failed(now);
                } else {
                    lease.succeeded();
                }
            }
            // It is well, and says itself that it takes nothing now.
            Err(AttemptError::NotReady) => {}
            Err(_) => lease.failed(now),
        }
    }

    async fn wait(&mut self, snapshot: &Snapshot, none: NoRoute) -> Result<(), GatewayError> {
        let may_come_back = none == NoRoute::AllTried;
        let changes = self.inner.routes.changes();
        let room = &self.inner.waiting;
        let waited = room
            .wait(&mut self.patience, changes, snapshot.version, may_come_back)
            .await;
        // Those that failed may be back.
        self.tried.clear();
        let model = self.call.model.clone();
        waited.map_err(|given_up| match given_up {
            GivenUp::RoomIsFull => GatewayError::TooManyWaiting { model },
            GivenUp::TimeIsUp => GatewayError::NoReadyReplica {
                model,
                waited: self.inner.config.wait_for_replica,
                last: self.last.as_ref().map(ToString::to_string),
            },
        })
    }

    fn unknown(&self, snapshot: &Snapshot) -> GatewayError {
        GatewayError::UnknownModel {
            name: self.call.model.clone(),
            known: snapshot.listed().map(|(name, _)| name.to_owned()).collect(),
        }
    }
}

/// The replica's answer as the caller gets it.
fn finish(inner: &Inner, answer: Answer, lease: Lease, mut exchange: Exchange) -> Response {
    exchange.answered_by(&lease.revision);
    let Answer { mut parts, body } = answer;
    name_revision(&mut parts, &lease.revision);
    let status = parts.status;
    let mut hold = Hold {
        lease,
        exchange,
        status,
        ending: inner.ending.clone(),
    };
    let body = match body {
        AnswerBody::Whole(body) => {
            hold.exchange.ended(status);
            Body::from(body)
        }
        AnswerBody::Events(first, source) => stream::events(first, source, hold),
        AnswerBody::Open(first, body) => stream::open(first, body, hold),
    };
    Response::from_parts(parts, body)
}

fn name_revision(parts: &mut response::Parts, revision: &str) {
    let name = HeaderName::from_static(names::headers::REVISION);
    if let Ok(revision) = HeaderValue::from_str(revision) {
        parts.headers.entry(name).or_insert(revision);
    }
}
