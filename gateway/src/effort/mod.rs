//! All that is done to get one request answered.

mod ask;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use chandler_core::traffic::{Ask, NoRoute};
use tokio::time::Instant;

use crate::accounts::{self, Admission};
use crate::alarm::Alarm;
use crate::attempt::{Answer, AttemptError};
use crate::call::Call;
use crate::errors::GatewayError;
use crate::gateway::Gateway;
use crate::in_flight::Lease;
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
    /// When the request came.
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
    Answer(Answered),
    /// The moment until which to wait has come.
    StillWaiting,
}

/// A replica's answer and where it comes from.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Box<Answer>,
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
            began: access.began(),
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

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
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
    /// called again. The `alarm` is the task's own.
    ///
    /// # Errors
    /// What the caller is told.
    pub(crate) async fn run(
        &mut self,
        interrupt: Option<Instant>,
        alarm: &mut Alarm,
    ) -> Result<Found, GatewayError> {
        loop {
            // To wait is rare, and its place would be kept and moved with every request.
            if !self.admission.has_turn() && !Box::pin(self.turn(interrupt)).await? {
                return Ok(Found::StillWaiting);
            }
            let now = Instant::now();
            let snapshot = self.look(now);
            let inner = self.gateway.inner();
            let ask = Ask {
                revision: self.call.wishes.revision.as_deref(),
                session: self.call.wishes.session,
                prefix: self.call.prefix,
                tried: &self.tried,
                draws: draws(inner.next_turn()),
            };
            match snapshot.lease(&self.call.model, &ask, inner.since_begin(now)) {
                Ok(lease) => {
                    self.stop_waiting();
                    if let Some(answered) = self.ask(&snapshot, lease, now, alarm).await? {
                        if !self.finds_a_crowd(&answered) {
                            return Ok(Found::Answer(answered));
                        }
                        drop(answered);
                        let none = NoRoute::AllTried;
                        if !Box::pin(self.wait(&snapshot, none, interrupt)).await? {
                            return Ok(Found::StillWaiting);
                        }
                    }
                }
                Err(NoRoute::RevisionNotAvailable) => return Err(self.no_revision()),
                Err(NoRoute::UnknownModel) if snapshot.version > 0 => {
                    return Err(self.unknown(&snapshot));
                }
                Err(none) => {
                    if !Box::pin(self.wait(&snapshot, none, interrupt)).await? {
                        return Ok(Found::StillWaiting);
                    }
                }
            }
        }
    }

    /// The table of the moment.
    fn look(&mut self, now: Instant) -> Arc<Snapshot> {
        let snapshot = self.gateway.inner().routes.load();
        if self.exchange.is_none() {
            self.begin(&snapshot, now);
        }
        snapshot
    }
}

/// What the caller is told where no replica answered.
impl Effort {
    /// Counts the request from here on, if its model is one of the table's, and for as long as
    /// the model allows.
    fn begin(&mut self, snapshot: &Snapshot, now: Instant) {
        let Some(model) = snapshot.model(&self.call.model) else {
            return;
        };
        if self.call.wishes.timeout.is_none() {
            self.limit = model.route.request_timeout;
        }
        let inner = self.gateway.inner();
        inner.count_request(now);
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
