//! A replica is asked, and, where it takes long, a second one as well.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;

use chandler_core::traffic::Sign;
use tokio::time::{Instant, sleep};

use super::{Answered, Effort};
use crate::alarm::Alarm;
use crate::attempt::{Answer, AttemptError};
use crate::errors::GatewayError;
use crate::in_flight::Lease;
use crate::load_report;
use crate::observe::Attempt;
use crate::table::{Model, Snapshot, draws};

/// What became of a request that took long, as the metric has it.
const WON: &str = "won";
const LOST: &str = "lost";
const NO_BUDGET: &str = "noBudget";

/// A replica that is asked.
#[derive(Debug)]
struct Try {
    lease: Lease,
    attempt: Attempt,
}

type Asked = Result<Box<Answer>, AttemptError>;

/// What the two replicas said, as far as they were asked and not given up.
#[derive(Debug, Default)]
struct Race {
    first: Option<Asked>,
    second: Option<Asked>,
}

impl Race {
    fn alone(first: Asked) -> Self {
        let (first, second) = (Some(first), None);
        Self { first, second }
    }

    /// Whether there is nothing more to wait for. An answer of the second is taken for the first's
    /// sake only if it is a success: the first may still have a better one.
    fn is_over(&self) -> bool {
        match (&self.first, &self.second) {
            (Some(Ok(_)), _) | (Some(_), Some(_)) => true,
            (None, Some(Ok(answer))) => answer.parts.status.is_success(),
            _ => false,
        }
    }

    fn second_won(&self) -> bool {
        !matches!(self.first, Some(Ok(_))) && matches!(self.second, Some(Ok(_)))
    }
}

impl Effort {
    /// Asks one replica, or two; `None` sends the request on to another.
    pub(super) async fn ask(
        &mut self,
        snapshot: &Snapshot,
        lease: Lease,
        now: Instant,
        alarm: &mut Alarm,
    ) -> Result<Option<Answered>, GatewayError> {
        let metrics = &self.gateway.inner().metrics;
        if self.last.is_some() {
            metrics.retried(&self.call.model);
        }
        let (first, second) = (self.begin_try(lease, now), OnceLock::new());
        let race = {
            // In its place, since to move it costs as much as to look for a replica.
            let mut race = pin!(self.race(snapshot, &first, &second));
            alarm.set(self.deadline());
            poll_fn(|cx| match race.as_mut().poll(cx) {
                Poll::Ready(race) => Poll::Ready(Some(race)),
                Poll::Pending => alarm.poll(cx).map(|()| None),
            })
            .await
        };
        if second.get().is_some() {
            let won = race.as_ref().is_some_and(Race::second_won);
            metrics.hedged(&self.call.model, if won { WON } else { LOST });
        }
        let tries = [Some(first), second.into_inner()].into_iter().flatten();
        let Some(Race { first, second }) = race else {
            let timed_out = self.timed_out();
            for Try { lease, attempt } in tries {
                attempt.failed(timed_out.reason());
                // How long a caller waits is the caller's choice.
                if self.call.wishes.timeout.is_none() {
                    lease.count_failure();
                }
            }
            return Err(timed_out);
        };
        let (mut answered, losses) = (None, self.losses);
        for (Try { lease, attempt }, asked) in tries.zip([first, second]) {
            // Absent of one that was given up.
            let Some(asked) = asked else { continue };
            match asked {
                Ok(answer) => {
                    answered = answered.or(Some(Answered {
                        answer,
                        lease,
                        attempt,
                    }));
                }
                Err(error) => self.failed(&lease, &attempt, error),
            }
        }
        if answered.is_none() && self.losses > losses {
            self.send_again()?;
        }
        Ok(answered)
    }

    fn begin_try(&self, lease: Lease, began: Instant) -> Try {
        let attempt = self.access.attempt(lease.seat(), began);
        Try { lease, attempt }
    }

    async fn asked(&self, Try { lease, attempt }: &Try) -> Asked {
        let left = self.deadline().saturating_duration_since(attempt.began());
        let upstream = &self.gateway.inner().upstream;
        let asked = upstream.attempt(&self.call, lease, left, attempt).await;
        self.learn(lease, &asked);
        asked
    }

    /// Takes down what the attempt tells of the replica.
    fn learn(&self, lease: &Lease, attempt: &Asked) {
        let inner = self.gateway.inner();
        match attempt {
            Ok(answer) => {
                let now = inner.since_begin(answer.at);
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
            Err(_) => lease.failed(inner.now()),
        }
    }

    /// A replica gave no answer.
    fn failed(&mut self, lease: &Lease, attempt: &Attempt, error: AttemptError) {
        attempt.failed(error.reason());
        if !matches!(error, AttemptError::NotReady) {
            lease.count_failure();
        }
        let endpoint = &lease.endpoint.id;
        tracing::debug!(endpoint, reason = error.reason(), %error, "replica gave no answer");
        self.tried.push(endpoint.clone());
        self.losses += u32::from(error.took_the_request());
        self.last = Some(error);
    }

    /// Whether the request may be sent again after a replica was lost over it: it may have been
    /// the cause.
    fn send_again(&self) -> Result<(), GatewayError> {
        let (model, losses) = (self.call.model.clone(), self.losses);
        let last = self
            .last
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        let inner = self.gateway.inner();
        if losses >= inner.config.max_losses {
            return Err(GatewayError::ReplicasLost {
                model,
                losses,
                last,
            });
        }
        match inner.may_retry() {
            true => Ok(()),
            false => Err(GatewayError::RetriesSpent { model, last }),
        }
    }
}

/// Two replicas at one request.
impl Effort {
    /// Until there is an answer, or none to be expected. A second replica that is asked is put
    /// into `second`.
    async fn race(&self, snapshot: &Snapshot, first: &Try, second: &OnceLock<Try>) -> Race {
        let Some(model) = self.hedged(snapshot) else {
            return Race::alone(self.asked(first).await);
        };
        let began = Instant::now();
        // A place of its own, or every request would be as large as two.
        let race = Box::pin(self.race_of_two(model, first, second)).await;
        match &race.first {
            Some(Ok(answer)) if answer.parts.status.is_success() => {
                model.hedging.answered(began.elapsed());
            }
            Some(_) => {}
            None => model.hedging.outlasted(),
        }
        race
    }

    /// The model, if its request may be asked of two replicas. How long an answer takes that is
    /// generated depends on what is asked; the second would take as long, and as much of a GPU.
    fn hedged<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Model> {
        let hedges = self.gateway.inner().config.hedge;
        let wanted = hedges && !self.call.generates() && self.last.is_none();
        wanted
            .then(|| snapshot.model(&self.call.model))?
            .map(|model| &**model)
    }

    async fn race_of_two(&self, model: &Model, first: &Try, second: &OnceLock<Try>) -> Race {
        let mut one = pin!(self.asked(first));
        if let Some(delay) = model.hedging.request(self.gateway.inner().now()) {
            tokio::select! {
                biased;
                asked = &mut one => return Race::alone(asked),
                () = sleep(delay) => {}
            }
            if let Some(tried) = self.second(model, &first.lease) {
                second.get_or_init(|| tried);
            }
        }
        let Some(second) = second.get() else {
            return Race::alone(one.await);
        };
        let mut two = pin!(self.asked(second));
        let mut race = Race::default();
        while !race.is_over() {
            tokio::select! {
                biased;
                asked = &mut one, if race.first.is_none() => race.first = Some(asked),
                asked = &mut two, if race.second.is_none() => race.second = Some(asked),
            }
        }
        race
    }

    /// A second replica, if there is one and its work can be afforded.
    fn second(&self, model: &Model, first: &Lease) -> Option<Try> {
        let inner = self.gateway.inner();
        let second = model.second(first, draws(inner.next_turn()), inner.now())?;
        if inner.may_hedge(&model.hedging) {
            return Some(self.begin_try(second, Instant::now()));
        }
        inner.metrics.hedged(&self.call.model, NO_BUDGET);
        None
    }
}
