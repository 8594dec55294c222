//! An operator of one model in a simulated world: it takes a turn whenever the spec, the world or
//! the clock asks for one, and remembers nothing but what it published.

mod watch;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chandler_core::cycle::{self, Turn};
use chandler_core::decide::Action;
use chandler_core::retry;
use chandler_core::validate::{Validated, validate};
use chandler_core::world::{Failure, Outcome};
use chandler_crds::admission::{Refusal, admit};
use chandler_crds::names::{GROUP, KIND, VERSION};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock::{Clock, after};
use crate::world::{Death, Lost, SimWorld};

/// Turns at one moment after which no end is to be hoped for.
const MOST_TURNS: usize = 100;

/// Name of the one model of a simulation.
const NAME: &str = "chat";

/// The model with this spec, admitted as an API server admits it.
///
/// # Errors
/// Every refusal.
pub fn model(spec: &Value) -> Result<ModelDeployment, Vec<Refusal>> {
    admit(&json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": NAME},
        "spec": spec,
    }))
}

/// Why a simulation can't go on: always a fault of what is simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Every turn asks for another at once.
    #[error("{MOST_TURNS} turns at {at} and no end: {why}")]
    Restless {
        /// The moment.
        at: Timestamp,
        /// The last reasons.
        why: String,
    },
    /// A status can't be kept.
    #[error("the status does not survive JSON: {0}")]
    Status(#[from] serde_json::Error),
}

impl SimError {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Restless { .. } => "Restless",
            Self::Status(_) => "StatusLost",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A turn that came to its end.
    Turn {
        /// The reasons.
        why: Vec<String>,
        /// The actions and what became of them.
        done: Vec<(Action, Outcome)>,
    },
    /// The operator died in a turn, after these.
    Died {
        /// When it starts again.
        until: Timestamp,
        /// What it had done.
        done: Vec<(Action, Outcome)>,
    },
    /// The world could not be observed.
    Blind(Failure),
    /// Requests ended with their revision.
    Lost(Lost),
    /// What must never happen did.
    Harm(String),
    /// Nothing is left of the model.
    Gone,
}

/// A model, its operator and their world.
#[derive(Debug, Default)]
pub struct Simulation {
    /// Where it plays.
    pub world: SimWorld,
    object: Option<ModelDeployment>,
    /// The last spec that was followed.
    spec: Option<Validated>,
    removing: bool,
    wake_at: Option<Timestamp>,
    /// How long it stays away when it dies.
    down: Duration,
    /// When it starts again, if it died.
    down_until: Option<Timestamp>,
    /// Looks in a row that saw nothing.
    blind: u32,
    clock: Clock,
    journal: Vec<Entry>,
}

impl Simulation {
    /// The object with its status, unless it is gone.
    #[must_use]
    pub fn object(&self) -> Option<&ModelDeployment> {
        self.object.as_ref()
    }

    /// What was published last.
    #[must_use]
    pub fn status(&self) -> ModelDeploymentStatus {
        let object = self.object.as_ref();
        object
            .and_then(|object| object.status.clone())
            .unwrap_or_default()
    }

    /// What happened since this was last asked.
    pub fn take_journal(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.journal)
    }

    /// Applies a spec: a new generation if it differs. The status stays.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn apply(&mut self, mut object: ModelDeployment) -> Result<(), SimError> {
        let before = self.object.take();
        let generation = before.as_ref().and_then(|it| it.metadata.generation);
        let changed = before.as_ref().is_none_or(|it| it.spec != object.spec);
        object.metadata.generation = Some(generation.unwrap_or(0) + i64::from(changed));
        object.status = before.and_then(|it| it.status);
        self.object = Some(object);
        self.settle()
    }

    /// Deletes the object; it is gone once all it owned is.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn remove(&mut self) -> Result<(), SimError> {
        self.removing = true;
        self.settle()
    }

    /// Makes the operator die and start again after `down`.
    pub fn die(&mut self, death: Death, down: Duration) {
        self.down = down;
        self.world.die(death);
    }

    /// Sets the operator's clock, forward or back. What it measures by other clocks goes on.
    pub fn set_clock(&mut self, by: SignedDuration) {
        self.clock.set(by, self.world.now());
    }

    /// Takes turns until nothing is due now.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn settle(&mut self) -> Result<(), SimError> {
        for _ in 0..MOST_TURNS {
            self.turn()?;
            if self.wake_at.is_none_or(|at| at > self.world.now()) {
                return Ok(());
            }
        }
        Err(SimError::Restless {
            at: self.world.now(),
            why: self.status().why.join("; "),
        })
    }

    /// Lets time pass, with a turn whenever one is due.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn advance(&mut self, length: Duration) -> Result<(), SimError> {
        let until = after(self.world.now(), length);
        loop {
            let turn = self.next();
            let round = self.world.next_round();
            let Some(next) = turn.into_iter().chain(round).min() else {
                break;
            };
            if next > until {
                break;
            }
            self.world.advance_to(next);
            if self.world.take_look() || turn == Some(next) {
                self.settle()?;
            }
        }
        self.world.advance_to(until);
        Ok(())
    }

    /// When something happens next, but for what callers do; `None` if nothing will by itself.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let world = self.world.next_event();
        self.wake_at.into_iter().chain(world).min()
    }

    fn follows_load(&self) -> bool {
        let spec = self.spec.as_ref().filter(|_| !self.removing);
        spec.is_some_and(Validated::follows_load)
    }

    fn turn(&mut self) -> Result<(), SimError> {
        self.wake_at = self.down_until.filter(|until| *until > self.world.now());
        if self.wake_at.is_some() {
            return Ok(());
        }
        let Some(object) = self.object.clone() else {
            return Ok(());
        };
        if let Ok(spec) = validate(&object) {
            self.spec = Some(spec);
        }
        self.world.follow(self.follows_load());
        let now = self.clock.at(self.world.now());
        let before = self.world.snapshot();
        let turn = if self.removing {
            let Some(spec) = self.spec.clone() else {
                return self.gone();
            };
            let status = object.status.unwrap_or_default();
            drive(cycle::remove(&mut self.world, &spec, &status, now))
        } else {
            drive(cycle::cycle(&mut self.world, &object, now)).map(Some)
        };
        for lost in self.world.take_lost() {
            self.watch_drain(&lost);
            self.note(Event::Lost(lost));
        }
        match turn {
            Err(failure) => self.see_nothing(failure),
            Ok(None) => return self.gone(),
            Ok(Some(turn)) => self.end_turn(turn)?,
        }
        self.watch_outage(before.serving());
        Ok(())
    }

    /// Publishes, unless the operator did not live to do so.
    fn end_turn(&mut self, turn: Turn) -> Result<(), SimError> {
        self.blind = 0;
        let done: Vec<_> = turn
            .decision
            .actions
            .into_iter()
            .zip(turn.outcomes)
            .collect();
        self.watch_scale(&done, turn.decision.memory.rollout.as_ref());
        if self.world.take_death() {
            self.world.follow(false);
            let until = after(self.world.now(), self.down);
            (self.wake_at, self.down_until) = (Some(until), Some(until));
            let lived = |(_, outcome): &(_, Outcome)| outcome.is_done();
            let done = done.into_iter().filter(lived).collect();
            self.note(Event::Died { until, done });
            return Ok(());
        }
        let wake_at = turn.wake_at;
        self.wake_at = wake_at.map(|at| self.clock.until(at, self.world.now()));
        if let Some(object) = &mut self.object {
            // As an API server keeps it.
            let kept = serde_json::to_string(&turn.status)?;
            object.status = Some(serde_json::from_str(&kept)?);
        }
        let why = turn.decision.why.iter().map(ToString::to_string).collect();
        self.note(Event::Turn { why, done });
        Ok(())
    }

    fn see_nothing(&mut self, failure: Failure) {
        self.blind = self.blind.saturating_add(1);
        let wait = retry::RESOLVE.delay(self.blind, "observe");
        self.wake_at = Some(after(self.world.now(), wait));
        self.note(Event::Blind(failure));
    }

    fn gone(&mut self) -> Result<(), SimError> {
        (self.object, self.spec, self.removing) = (None, None, false);
        self.note(Event::Gone);
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let at = self.world.now();
        self.journal.push(Entry { at, event });
    }
}

/// The output of a future of a simulated world: none of them ever waits.
pub(crate) fn drive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
