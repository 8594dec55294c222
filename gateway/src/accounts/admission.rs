//! One request's way in, and what it holds until its answer has ended.

use std::sync::Arc;

use bytes::Bytes;
use chandler_core::traffic::ModelRoute;
use chandler_core::traffic::fair::Full;
use chandler_core::traffic::limit::Remaining;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::account::Models;
use super::error::AccountError;
use super::gates::{Turn, Wish};
use super::metrics::AccountMetrics;
use super::rate;
use super::registry::{Accounts, Clock, Holder};
use super::usage::{self, Ask, Meter, Usage};
use crate::call::Call;
use crate::errors::GatewayError;
use crate::table::Snapshot;

/// A request that is let in. Until it is dropped, it counts among its account's concurrent
/// requests and, once it has its [`turn`](Self::turn), takes one of its model's places. How many tokens it used is told by
/// [`whole`](Self::whole), by the [`events`](Self::events) that passed, or by
/// [`unanswered`](Self::unanswered); where none of them was called before the drop, since the
/// caller left, what was reserved stays used. Who left before its turn has used nothing.
///
/// While everyone may ask, it is empty, and all that is done to it does nothing.
#[derive(Debug, Default)]
pub(crate) struct Admission(Option<Box<Admitted>>);

#[derive(Debug)]
struct Admitted {
    taken: Taken,
    /// Asked for once the model is one of the table's.
    turn: Option<Turn>,
    meter: Meter,
}

/// What was taken of an account's limits.
#[derive(Debug)]
struct Taken {
    holder: Arc<Holder>,
    /// As the caller wrote it.
    model: String,
    ask: Ask,
    remaining: Remaining,
    metrics: AccountMetrics,
    clock: Clock,
    /// Whether the real use has been put in the place of the reserved.
    settled: bool,
}

impl Accounts {
    /// Lets a request in: its model must be one that the account may use, and its limits must have
    /// room. Where the usage of a stream is needed and not asked for, `call` asks for it from here on.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`] alike for a model that does not exist and for one that the
    /// account may not use; [`AccountError`] for the rest.
    pub(crate) fn admit(
        &self,
        holder: Arc<Holder>,
        call: &mut Call,
        snapshot: &Snapshot,
    ) -> Result<Admission, GatewayError> {
        if !holder.reaches(&call.model, snapshot) {
            return Err(unknown_model(&call.model, Some(&holder), snapshot));
        }
        let ask = match call.computes() {
            true => Ask::of(call.body(), call.generates()),
            false => Ask::default(),
        };
        let taken = self.take(holder, &call.model, ask)?;
        let mut meter = Meter::default();
        if ask.streams_without_usage
            && let Some(body) = usage::with_usage(call.body())
        {
            call.set_body(body);
            meter = Meter::new(true);
        }
        let turn = None;
        Ok(Admission(Some(Box::new(Admitted { taken, turn, meter }))))
    }

    fn take(&self, holder: Arc<Holder>, model: &str, ask: Ask) -> Result<Taken, AccountError> {
        let taken = holder
            .state
            .limiter()
            .take(self.clock.now(), 1, ask.total());
        let remaining = taken.map_err(|refused| {
            self.metrics.limited(&holder.account.name, refused.which);
            AccountError::Limited(Box::new(refused))
        })?;
        Ok(Taken {
            holder,
            model: model.to_owned(),
            ask,
            remaining,
            metrics: self.metrics.clone(),
            clock: self.clock,
            settled: false,
        })
    }
}

/// The names that a caller is told of: all for everyone, else those that its key may use.
pub(crate) fn listed<'a>(
    caller: Option<&'a Holder>,
    snapshot: &'a Snapshot,
) -> Vec<(&'a str, &'a ModelRoute)> {
    match caller.map(|holder| &holder.account.models) {
        None | Some(Models::All) => snapshot.listed().collect(),
        Some(Models::Only(names)) => {
            let known = names.iter();
            let known =
                known.filter_map(|name| Some((name.as_str(), &snapshot.model(name)?.route)));
            known.collect()
        }
    }
}

/// What is answered for a model that the caller can't use, be it there or not.
pub(crate) fn unknown_model(
    name: &str,
    caller: Option<&Holder>,
    snapshot: &Snapshot,
) -> GatewayError {
    let known = listed(caller, snapshot);
    GatewayError::UnknownModel {
        name: name.to_owned(),
        known: known.into_iter().map(|(name, _)| name.to_owned()).collect(),
    }
}

impl Admission {
    /// Whose request it is; `None` while everyone may ask.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.0.as_deref().map(|it| &*it.taken.holder)
    }

    /// Whether there is no turn to wait for, or it has come.
    pub(crate) fn has_turn(&self) -> bool {
        let turn = |it: &Admitted| it.turn.as_ref().is_some_and(Turn::has_come);
        self.0.as_deref().is_none_or(turn)
    }

    /// Waits for the request's turn at the model of `route`; `false` if it has not come at
    /// `until`. May be called again, and keeps its place in the queue. After `end` the turn is of
    /// no use.
    ///
    /// # Errors
    /// [`AccountError::Saturated`], when too many wait already.
    pub(crate) async fn turn(
        &mut self,
        accounts: &Accounts,
        route: &ModelRoute,
        end: Instant,
        until: Instant,
    ) -> Result<bool, AccountError> {
        let Some(admitted) = &mut self.0 else {
            return Ok(true);
        };
        let Admitted { taken, turn, .. } = &mut **admitted;
        let saturated = |Full| AccountError::Saturated {
            model: taken.model.clone(),
            waited: None,
        };
        let turn = match turn {
            Some(turn) => turn,
            none => {
                let wish = taken.wish(end);
                none.insert(accounts.gates.turn(route, wish).map_err(saturated)?)
            }
        };
        match timeout_at(until, turn.come()).await {
            Ok(come) => come.map(|()| true).map_err(saturated),
            Err(_) => Ok(false),
        }
    }

    /// Adds what is left of the account's rates to an answer's headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(admitted) = &self.0 {
            rate::tell(&admitted.taken.remaining, headers);
        }
    }

    /// Settles with a whole answer. One that is an error cost nothing.
    pub(crate) fn whole(&mut self, status: StatusCode, body: &[u8]) {
        if let Some(admitted) = &mut self.0 {
            let told = usage::of_answer(body).filter(|_| status.is_success());
            match told {
                Some(usage) => admitted.settle(usage),
                None if status.is_success() => {}
                None => admitted.settle(Usage::default()),
            }
        }
    }

    /// Settles a request that was never answered: it cost nothing.
    pub(crate) fn unanswered(&mut self) {
        if let Some(admitted) = &mut self.0 {
            admitted.settle(Usage::default());
        }
    }

    /// Reads whole events on their way, and gives those that are the caller's; none may be left.
    pub(crate) fn events(&mut self, events: Bytes) -> Bytes {
        match &mut self.0 {
            Some(admitted) => admitted.meter.pass(events),
            None => events,
        }
    }
}

impl Admitted {
    fn settle(&mut self, usage: Usage) {
        self.taken.settle(usage);
        if let Some(turn) = &mut self.turn {
            turn.used(usage.total());
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // Who left before its turn has used nothing.
        let has_turn = self.turn.as_ref().is_some_and(Turn::has_come);
        let nothing = (!has_turn).then(Usage::default);
        let used = self.meter.usage(self.taken.ask.prompt).or(nothing);
        if let Some(usage) = used.filter(|_| !self.taken.settled) {
            self.settle(usage);
        }
    }
}

impl Taken {
    fn wish(&self, end: Instant) -> Wish {
        Wish {
            account: self.holder.state.id,
            weight: self.holder.account.weight,
            cost: self.ask.total(),
            patience: end.saturating_duration_since(Instant::now()),
        }
    }

    fn settle(&mut self, usage: Usage) {
        if self.settled {
            return;
        }
        self.settled = true;
        let (now, reserved) = (self.clock.now(), self.ask.total());
        let mut limiter = self.holder.state.limiter();
        limiter.settle(now, reserved, usage.total());
        drop(limiter);
        if usage != Usage::default() {
            let account = &self.holder.account.name;
            self.metrics.used(account, &self.model, usage);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.holder.state.limiter().release();
    }
}
