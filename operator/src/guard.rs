//! The world as the runtime sees it: each action is allowed, logged, counted, and a boundary at
//! which a test may end the process.

use std::sync::Arc;

use chandler_core::analysis::Question;
use chandler_core::decide::Action;
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome, World};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failpoint::{Failpoints, Side};
use crate::lead::Tenure;
use crate::metrics::Metrics;

/// What guards every world alike.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Whether this process may act.
    pub tenure: Tenure,
    /// Where it ends.
    pub failpoints: Failpoints,
    /// Where actions are counted.
    pub metrics: Metrics,
    /// How many turns work at one time.
    pub turns: Arc<Semaphore>,
}

/// A world with its guard.
#[derive(Debug)]
pub struct Guarded<W> {
    world: W,
    guard: Guard,
    /// A turn that only waits for a replica's answer leaves the right to others.
    permit: Permit,
}

/// The right to work, one of a few.
#[derive(Debug)]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Guard {
    /// Waits for the right to work, in the order of asking.
    pub async fn permit(&self) -> Permit {
        // Nobody closes the semaphore, so there always is one.
        Permit(Arc::clone(&self.turns).acquire_owned().await.ok())
    }
}

impl<W: World + Send> Guarded<W> {
    /// Guards `world` for a turn that has the right to work.
    #[must_use]
    pub fn new(world: W, guard: Guard, permit: Permit) -> Self {
        Self {
            world,
            guard,
            permit,
        }
    }

    async fn do_it(&mut self, key: &ModelKey, action: &Action) -> Outcome {
        let Action::Probe { .. } = action else {
            return self.world.perform(key, action).await;
        };
        self.permit.0 = None;
        let outcome = self.world.perform(key, action).await;
        self.permit = self.guard.permit().await;
        outcome
    }
}

impl<W: World + Send> World for Guarded<W> {
    async fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> Result<Snapshot, Failure> {
        self.world.observe(key, question).await
    }

    async fn perform(&mut self, key: &ModelKey, action: &Action) -> Outcome {
        let name = action.name();
        let outcome = if self.guard.tenure.holds() {
            self.guard.failpoints.pass(Side::Before, name);
            self.do_it(key, action).await
        } else {
            Outcome::Failed(not_leading())
        };
        log(action, &outcome);
        self.guard.metrics.action(name, &outcome);
        self.guard.failpoints.pass(Side::After, name);
        outcome
    }
}

fn not_leading() -> Failure {
    Failure {
        reason: "LeaseLost".to_owned(),
        message: "another operator may lead by now".to_owned(),
        transient: true,
    }
}

/// The model stands in the span of the turn.
fn log(action: &Action, outcome: &Outcome) {
    let (name, revision) = (action.name(), action.revision());
    match outcome {
        Outcome::Done | Outcome::Resolved(_) | Outcome::Answered(_) | Outcome::Evaluated(_) => {
            tracing::info!(action = name, revision, "done");
        }
        // Each look at it would be a line.
        Outcome::Pending { .. } => tracing::debug!(action = name, revision, "under way"),
        Outcome::Failed(failure) => {
            let Failure {
                reason, message, ..
            } = failure;
            tracing::warn!(action = name, revision, reason, error = message, "failed");
        }
        Outcome::Skipped => tracing::debug!(action = name, revision, "skipped"),
    }
}
