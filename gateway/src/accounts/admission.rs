//! One request's way in, and what it holds until its answer has ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chandler_core::traffic::ModelRoute;
use chandler_core::traffic::limit::Remaining;
use chandler_crds::names::api;
use http::{HeaderMap, StatusCode};

use super::account::Models;
use super::error::AccountError;
use super::gates::{Place, Shed, Wish};
use super::metrics::AccountMetrics;
use super::rate;
use super::registry::{Accounts, Clock, Holder};
use super::usage::{self, Ask, Meter, Usage};
use crate::call::Call;
use crate::errors::GatewayError;
use crate::table::Snapshot;

/// A request that is let in. Until it is dropped, it counts among its account's concurrent
/// requests and takes one of its model's places. How many tokens it used is told by
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
    /// Absent for a model that the table does not have.
    place: Option<Place>,
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
    /// Lets a request in: its model must be one that the account may use, its limits must have
    /// room, and where the model is saturated it waits for its turn, for `patience` at most.
    /// Where the usage of a stream is needed and not asked for, `call` asks for it from here on.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`] alike for a model that does not exist and for one that the
    /// account may not use; [`AccountError`] for the rest.
    pub(crate) async fn admit(
        &self,
        holder: Arc<Holder>,
        call: &mut Call,
        snapshot: &Snapshot,
        patience: Duration,
    ) -> Result<Admission, GatewayError> {
        if !holder.reaches(&call.model, snapshot) {
            return Err(unknown_model(&call.model, Some(&holder), snapshot));
        }
        let ask = Ask::of(call.body(), call.path() != api::EMBEDDINGS);
        let taken = self.take(holder, &call.model, ask)?;
        let mut meter = Meter::default();
        if ask.streams_without_usage
            && let Some(body) = usage::with_usage(call.body())
        {
            call.set_body(body);
            meter = Meter::new(true);
        }
        let mut admitted = Box::new(Admitted {
            taken,
            place: None,
            meter,
        });
        if let Some(model) = snapshot.model(&call.model) {
            let turn = self.turn(&admitted.taken, &model.route, patience).await;
            let place = turn.inspect_err(|_| admitted.taken.settle(Usage::default()));
            admitted.place = Some(place?);
        }
        Ok(Admission(Some(admitted)))
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

    async fn turn(
        &self,
        taken: &Taken,
        route: &ModelRoute,
        patience: Duration,
    ) -> Result<Place, AccountError> {
        let wish = Wish {
            account: taken.holder.state.id,
            weight: taken.holder.account.weight,
            cost: taken.ask.total(),
            patience,
        };
        let turn = self.gates.place(route, wish).await;
        turn.map_err(|shed| AccountError::Saturated {
            model: taken.model.clone(),
            waited: (shed == Shed::TimeIsUp).then_some(patience),
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
        if let Some(place) = &mut self.place {
            place.used = usage.total();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // Who left before its turn has used nothing.
        let nothing = self.place.is_none().then(Usage::default);
        let used = self.meter.usage(self.taken.ask.prompt).or(nothing);
        if let Some(usage) = used.filter(|_| !self.taken.settled) {
            self.settle(usage);
        }
    }
}

impl Taken {
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
