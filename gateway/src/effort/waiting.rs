//! How a request waits: for its turn at a model that is saturated, and for a replica.

use chandler_core::traffic::{ModelRoute, NoRoute};
use http::StatusCode;
use tokio::time::Instant;

use super::{Answered, Effort};
use crate::accounts::AccountError;
use crate::demand::Waiting;
use crate::errors::GatewayError;
use crate::table::Snapshot;
use crate::wait::{Place, Wait};

/// What a request holds while it waits.
#[derive(Debug)]
pub(super) struct Held {
    _place: Place,
    /// Told of where there is no replica at all.
    demand: Option<Waiting>,
}

impl Effort {
    /// Waits for the request's turn; `false` at `interrupt`. It waits for that as long as for a
    /// replica, and never longer than its caller does.
    pub(super) async fn turn(&mut self, interrupt: Option<Instant>) -> Result<bool, GatewayError> {
        let snapshot = self.look(Instant::now());
        let Some(model) = snapshot.model(&self.call.model) else {
            return Ok(true);
        };
        let inner = self.gateway.inner();
        let (longest, deadline) = (inner.config.wait_for_replica, self.deadline());
        let end = deadline.min(self.began + longest);
        let until = interrupt.map_or(end, |at| at.min(end));
        let turn = self
            .admission
            .turn(&inner.accounts, &model.route, end, until);
        if turn.await? {
            return Ok(true);
        }
        match Instant::now() {
            now if now >= deadline => Err(self.timed_out()),
            now if now >= end => Err(GatewayError::Account(AccountError::Saturated {
                model: self.call.model.clone(),
                waited: Some(longest),
            })),
            _ => Ok(false),
        }
    }

    /// Waits for a replica; `false` at `interrupt`.
    pub(super) async fn wait(
        &mut self,
        snapshot: &Snapshot,
        none: NoRoute,
        interrupt: Option<Instant>,
    ) -> Result<bool, GatewayError> {
        let route = snapshot.model(&self.call.model).map(|model| &model.route);
        self.begin_waiting(route, none)?;
        let until = interrupt.map_or(self.deadline(), |at| at.min(self.deadline()));
        let changes = self.gateway.inner().routes.changes();
        let may_come_back = none == NoRoute::AllTried;
        let wait = self
            .patience
            .wait(changes, snapshot.version, may_come_back, Some(until));
        match wait.await {
            Wait::Interrupted if Instant::now() >= self.deadline() => Err(self.timed_out()),
            Wait::Interrupted => Ok(false),
            Wait::TimeIsUp => Err(self.not_ready(route)),
            Wait::LookAgain => {
                // Those that failed may be back.
                self.tried.clear();
                Ok(true)
            }
        }
    }

    /// Whether a replica's queue is full of those who waited with this request: a herd may be more
    /// than a queue holds. Who has been held goes on waiting; who comes anew is told at once.
    pub(super) fn finds_a_crowd(&self, answered: &Answered) -> bool {
        let full = answered.answer.parts.status == StatusCode::TOO_MANY_REQUESTS;
        full && !self.patience.waited().is_zero() && !self.patience.left().is_zero()
    }

    fn begin_waiting(
        &mut self,
        route: Option<&ModelRoute>,
        none: NoRoute,
    ) -> Result<(), GatewayError> {
        let inner = self.gateway.inner();
        if self.waiting.is_none() {
            let place = inner.waiting.enter(self.call.size());
            let Some(place) = place else {
                return Err(GatewayError::TooManyWaiting {
                    model: self.call.model.clone(),
                    retry_after: inner.time_left(route),
                });
            };
            self.waiting = Some(Held {
                _place: place,
                demand: None,
            });
        }
        let (NoRoute::NoReadyReplica, Some(route)) = (none, route) else {
            return Ok(());
        };
        let Some(held) = &mut self.waiting else {
            return Ok(());
        };
        held.demand
            .get_or_insert_with(|| inner.demand.wait(&route.key));
        // A caller of a stream is told that its request is alive; any other is better told now
        // when to come back than after it has waited in vain.
        let left = inner.demand.known_time_left(route);
        let most = self.patience.left().min(self.deadline() - Instant::now());
        match left {
            Some(left) if left > most && !self.call.stream => Err(GatewayError::Waking {
                model: self.call.model.clone(),
                retry_after: left,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn stop_waiting(&mut self) {
        if let Some(Held {
            demand: Some(demand),
            ..
        }) = self.waiting.take()
        {
            demand.awake();
        }
    }

    fn not_ready(&self, route: Option<&ModelRoute>) -> GatewayError {
        GatewayError::NoReadyReplica {
            model: self.call.model.clone(),
            waited: self.patience.waited(),
            last: self.last.as_ref().map(ToString::to_string),
            retry_after: self.gateway.inner().time_left(route),
        }
    }
}
