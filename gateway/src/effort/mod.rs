//! All that is done to get one request answered.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use chandler_core::traffic::{Ask, NoRoute, Sign};
use tokio::time::{Instant, timeout_at};

use crate::accounts::{self, Admission};
use crate::attempt::{Answer, AttemptError};
use crate::call::Call;
use crate::errors::GatewayError;
use crate::gateway::Gateway;
use crate::in_flight::Lease;
use crate::load_report;
use crate::metrics::Exchange;
use crate::observe::{AccessRecord, Attempt};
use crate::table::{Snapshot, draws};
use crate::wait::Patience;

use waiting::Held;

/// Asks replica after replica until one answers. Nothing has gone to the caller while this runs,
/// and no path of the API that it serves has side effects, so asking again is safe.
#[derive(Debug)]
pub(crate) struct Effort {
    gateway: Gateway,
    pub(crate) call: Call,
    pub(crate) admission: Admission,
    access: AccessRecord,
    /// Begun when the model is seen to be one of the table's.
    pub(crate) exchange: Option<Exchange>,
    began: Instant,
    /// How long the whole answer may take.
    limit: Duration,
    patience: Patience,
    /// While it waits.
    waiting: Option<Held>,
    tried: Vec<String>,
    losses: u32,
    last: Option<AttemptError>,
}

/// How far an effort came.
#[derive(Debug)]
pub(crate) enum Found {
    /// A replica answers.
    Answer(Box<Answered>),
    /// The moment until which to wait has come.
    StillWaiting,
}

/// A replica's answer and where it comes from.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) lease: Lease,
    pub(crate) attempt: Attempt,
}

impl Effort {
    pub(crate) fn new(
        gateway: Gateway,
        call: Call,
        access: AccessRecord,
        admission: Admission,
    ) -> Self {
        let config = &gateway.inner().config;
        Self {
            patience: Patience::new(config.wait_for_replica),
            limit: call.wishes.timeout.unwrap_or(config.request_timeout),
            began: Instant::now(),
            exchange: None,
            waiting: None,
            tried: Vec::new(),
            losses: 0,
            last: None,
            gateway,
            call,
            access,
            admission,
        }
    }

    /// When the caller's time is up.
    pub(crate) fn deadline(&self) -> Instant {
        self.began + self.limit
    }

    pub(crate) fn timed_out(&self) -> GatewayError {
        GatewayError::TimedOut {
            model: self.call.model.clone(),
            limit: self.limit,
        }
    }

    /// Until a replica answers, or, while none can or others go first, until `interrupt`. May be
    /// called again.
    ///
    /// # Errors
    /// What the caller is told.
    pub(crate) async fn run(&mut self, interrupt: Option<Instant>) -> Result<Found, GatewayError> {
        loop {
            if !self.admission.has_turn() && !self.turn(interrupt).await? {
                return Ok(Found::StillWaiting);
            }
            let snapshot = self.look();
            let inner = self.gateway.inner();
            let ask = Ask {
                revision: self.call.wishes.revision.as_deref(),
                session: self.call.wishes.session,
                prefix: self.call.prefix,
                tried: &self.tried,
                draws: draws(inner.next_turn()),
            };
            match snapshot.lease(&self.call.model, &ask, inner.now()) {
                Ok(lease) => {
                    self.stop_waiting();
                    if let Some((answer, attempt)) = self.ask(&lease).await? {
                        return Ok(Found::Answer(Box::new(Answered {
                            answer,
                            lease,
                            attempt,
                        })));
                    }
                }
                Err(NoRoute::RevisionNotAvailable) => return Err(self.no_revision()),
                Err(NoRoute::UnknownModel) if snapshot.version > 0 => {
                    return Err(self.unknown(&snapshot));
                }
                Err(none) => {
                    if !self.wait(&snapshot, none, interrupt).await? {
                        return Ok(Found::StillWaiting);
                    }
                }
            }
        }
    }

    /// The table of the moment.
    fn look(&mut self) -> Arc<Snapshot> {
        let snapshot = self.gateway.inner().routes.load();
        if self.exchange.is_none() {
            self.begin(&snapshot);
        }
        snapshot
    }

    /// Asks one replica; `None` sends the request on to another.
    async fn ask(&mut self, lease: &Lease) -> Result<Option<(Answer, Attempt)>, GatewayError> {
        let inner = self.gateway.inner();
        if self.last.is_some() {
            inner.metrics.retried(&self.call.model);
        }
        let left = self.deadline().saturating_duration_since(Instant::now());
        let attempt = self.access.attempt(&lease.revision, &lease.endpoint.id);
        let (upstream, metrics) = (&inner.upstream, &inner.metrics);
        let asked = upstream.attempt(&self.call, lease, left, &attempt, metrics);
        let Ok(answer) = timeout_at(self.deadline(), asked).await else {
            let timed_out = self.timed_out();
            attempt.failed(timed_out.reason());
            return Err(timed_out);
        };
        self.learn(lease, &answer);
        let error = match answer {
            Ok(answer) => return Ok(Some((answer, attempt))),
            Err(error) => error,
        };
        attempt.failed(error.reason());
        let endpoint = &lease.endpoint.id;
        tracing::debug!(endpoint, reason = error.reason(), %error, "replica gave no answer");
        self.tried.push(endpoint.clone());
        if error.took_the_request() {
            self.lost(&error)?;
        }
        self.last = Some(error);
        Ok(None)
    }

    /// Takes down what the attempt tells of the replica.
    fn learn(&self, lease: &Lease, attempt: &Result<Answer, AttemptError>) {
        let now = self.gateway.inner().now();
        match attempt {
            Ok(answer) => {
                if let Some(tokens) = load_report::queued_tokens(&answer.parts.headers) {
                    lease.report_queued_tokens(tokens, now);
                }
                match Sign::of_status(answer.parts.status.as_u16()) {
                    Sign::Well => lease.succeeded(),
                    Sign::Failed => lease.failed(now),
                    Sign::None => {}
                }
            }
            // It is well, and says itself that it takes nothing now.
            Err(AttemptError::NotReady) => {}
            Err(_) => lease.failed(now),
        }
    }

    /// A replica was lost over the request, which may have been the cause.
    fn lost(&mut self, error: &AttemptError) -> Result<(), GatewayError> {
        self.losses += 1;
        let (model, last) = (self.call.model.clone(), error.to_string());
        if self.losses >= self.gateway.inner().config.max_losses {
            let losses = self.losses;
            return Err(GatewayError::ReplicasLost {
                model,
                losses,
                last,
            });
        }
        if !self.gateway.inner().may_retry() {
            return Err(GatewayError::RetriesSpent { model, last });
        }
        Ok(())
    }
}

/// What the caller is told where no replica answered.
impl Effort {
    /// Counts the request from here on, if its model is one of the table's, and for as long as
    /// the model allows.
    fn begin(&mut self, snapshot: &Snapshot) {
        let Some(model) = snapshot.model(&self.call.model) else {
            return;
        };
        if self.call.wishes.timeout.is_none() {
            self.limit = model.route.request_timeout;
        }
        let inner = self.gateway.inner();
        inner.count_request();
        self.exchange = Some(inner.metrics.exchange(&self.call.model));
    }

    fn no_revision(&self) -> GatewayError {
        GatewayError::RevisionNotAvailable {
            model: self.call.model.clone(),
            revision: self.call.wishes.revision.clone().unwrap_or_default(),
        }
    }

    fn unknown(&self, snapshot: &Snapshot) -> GatewayError {
        accounts::unknown_model(&self.call.model, self.admission.holder(), snapshot)
    }
}
