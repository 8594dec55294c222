//! One turn of one model: fetch → default → cycle → publish → tell.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chandler_core::conclude;
use chandler_core::cycle::{Turn, cycle};
use chandler_core::retry::{self, Backoff};
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, World};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::Timestamp;
use kube::{Api, Client};
use kube_runtime::controller::Action;
use tokio::sync::mpsc;

use crate::events::{self, Teller};
use crate::failpoint::{PUBLISH, Side};
use crate::guard::{Guard, Guarded};
use crate::publish::{Published, publish, stands};

/// After a turn that failed for a reason that passes. An API server that restarts is back in
/// seconds, and whoever waits for it should not wait much longer.
const AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    factor: 2.0,
    max: Duration::from_secs(15),
    jitter: 0.3,
};

/// Where the worlds come from that turns are carried out in.
pub trait Worlds: Send + Sync + 'static {
    /// The world of one model.
    type Model: World + Send;

    /// The object with everything that this installation adds to it.
    fn complete(&self, object: ModelDeployment) -> ModelDeployment;

    /// The world of this object.
    fn of(&self, object: &ModelDeployment) -> Self::Model;

    /// A model is no more.
    fn gone(&self, key: &ModelKey);

    /// What a turn of a model left is no more to be relied on: another one begins.
    fn unsettle(&self, key: &ModelKey);

    /// A turn left all as it was.
    fn settle(&self, key: &ModelKey, left: Left);
}

/// What a turn leaves that found nothing to do.
#[derive(Clone, Debug)]
pub struct Left {
    /// The object as it stands now.
    pub object: ModelDeployment,
    /// What the turn saw.
    pub seen: Snapshot,
    /// The next turn comes then at the latest.
    pub wake_at: Option<Timestamp>,
}

/// What every turn needs.
pub struct Context<W> {
    /// The cluster.
    pub client: Client,
    /// Where the model is served.
    pub worlds: Arc<W>,
    /// Guards each action.
    pub guard: Guard,
    /// Tells of each action.
    pub teller: Teller,
    /// Dropped with the last turn, which tells that none runs any more.
    pub alive: mpsc::Sender<Infallible>,
}

impl<W> fmt::Debug for Context<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// How a turn went on.
enum Done {
    /// There is nothing to be looked after.
    Gone,
    /// Look again then at the latest.
    Published(Option<Timestamp>),
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The object could not be read.
    #[error("could not read the ModelDeployment: {0}")]
    Fetch(#[source] kube::Error),
    /// The model's part of the cluster could not be observed.
    #[error("could not observe the model: {0}")]
    Observe(#[source] Failure),
    /// Someone changed the object while the turn ran.
    #[error("the ModelDeployment was changed meanwhile")]
    Conflict,
    /// The status could not be written.
    #[error("could not write the status: {0}")]
    Publish(#[source] kube::Error),
    /// The lease is not held any more.
    #[error("another operator may lead by now")]
    LeaseLost,
}

impl TurnError {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Fetch(_) => "FetchFailed",
            Self::Observe(failure) => &failure.reason,
            Self::Conflict => "Conflict",
            Self::Publish(_) => "PublishFailed",
            Self::LeaseLost => "LeaseLost",
        }
    }

    /// Its label in metrics; a reason that another part makes up would grow the series.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            _ => "failed",
        }
    }

    fn delay(&self, attempts: u32, key: &ModelKey) -> Duration {
        let seed = key.to_string();
        match self {
            Self::Observe(failure) if !failure.transient => {
                retry::RESOLVE.delay_after(attempts, false, &seed)
            }
            _ => AGAIN.delay(attempts, &seed),
        }
    }
}

/// Does a turn, and tells when the next one is due if nothing is seen to change.
pub async fn reconcile<W: Worlds>(key: &ModelKey, context: &Context<W>) -> Action {
    let began = Instant::now();
    let metrics = &context.guard.metrics;
    let (outcome, action) = match turn(key, context).await {
        Ok(Done::Gone) => {
            metrics.ledger().forget(key);
            context.worlds.gone(key);
            ("gone", Action::await_change())
        }
        Ok(Done::Published(wake_at)) => ("done", next(wake_at, Timestamp::now())),
        Err(error) => {
            let attempts = metrics.ledger().failed(key);
            let delay = error.delay(attempts, key);
            log(&error, attempts, delay);
            (error.outcome(), Action::requeue(delay))
        }
    };
    metrics.turn(outcome, began.elapsed());
    action
}

fn log(error: &TurnError, attempts: u32, delay: Duration) {
    let (reason, again_in) = (error.reason(), delay.as_secs_f64());
    if let TurnError::Conflict = error {
        tracing::info!(reason, attempts, again_in, "{error}");
    } else {
        tracing::warn!(reason, attempts, again_in, "{error}");
    }
}

/// In `wake_at - now`, or at a change.
fn next(wake_at: Option<Timestamp>, now: Timestamp) -> Action {
    wake_at.map_or_else(Action::await_change, |at| {
        Action::requeue(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    })
}

async fn turn<W: Worlds>(key: &ModelKey, context: &Context<W>) -> Result<Done, TurnError> {
    context.worlds.unsettle(key);
    let permit = context.guard.permit().await;
    let Some(object) = fetch(key, context.client.clone()).await? else {
        return Ok(Done::Gone);
    };
    let object = context.worlds.complete(object);
    let world = context.worlds.of(&object);
    let mut world = Guarded::new(world, context.guard.clone(), permit);
    let now = Timestamp::now();
    match cycle(&mut world, &object, now).await {
        Ok(turn) => conclude(context, key, object, turn).await,
        Err(failure) => Err(unobserved(context, &object, failure, now).await),
    }
}

/// The object as it stands now. A watch may lag behind what this process wrote itself, and the
/// status is what decisions remember. `None` if there is nothing to look after: what belongs to an
/// object that goes is removed by the cluster, which knows its owner.
async fn fetch(key: &ModelKey, client: Client) -> Result<Option<ModelDeployment>, TurnError> {
    let api: Api<ModelDeployment> = Api::namespaced(client, &key.namespace);
    let object = api.get_opt(&key.name).await.map_err(TurnError::Fetch)?;
    Ok(object.filter(|object| object.metadata.deletion_timestamp.is_none()))
}

async fn conclude<W: Worlds>(
    context: &Context<W>,
    key: &ModelKey,
    object: ModelDeployment,
    turn: Turn,
) -> Result<Done, TurnError> {
    let published = write(context, &object, &turn.status).await;
    // What was done was done, whether it could be written down or not.
    let mut told = events::of_actions(&turn);
    if let Ok(Some(Published::Written(_))) = published {
        told.extend(noted(context, &object, &turn.status));
    }
    context.teller.tell(&object, &told).await;
    let Some(published) = published? else {
        return Ok(Done::Gone);
    };
    context.guard.metrics.ledger().succeeded(key, &turn.status);
    let wake_at = turn.wake_at;
    if let Some(left) = left(object, turn, published) {
        context.worlds.settle(key, left);
    }
    Ok(Done::Published(wake_at))
}

/// What a turn left, unless it did something: the world is not as it saw it then.
fn left(mut object: ModelDeployment, turn: Turn, published: Published) -> Option<Left> {
    let seen = turn.seen.filter(|_| turn.decision.actions.is_empty())?;
    if let Published::Written(written) = published {
        object.status = written.status;
    }
    Some(Left {
        object,
        seen,
        wake_at: turn.wake_at,
    })
}

/// A failure that only a person can mend is shown to people; any other passes by itself.
async fn unobserved<W: Worlds>(
    context: &Context<W>,
    object: &ModelDeployment,
    failure: Failure,
    now: Timestamp,
) -> TurnError {
    if !failure.transient {
        let before = object.status.clone().unwrap_or_default();
        let status = conclude::unobserved(&before, object.metadata.generation, &failure, now);
        match write(context, object, &status).await {
            Ok(Some(Published::Written(_))) => {
                let told = noted(context, object, &status);
                context.teller.tell(object, &told).await;
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    TurnError::Observe(failure)
}

/// Writes the status; `None` if the object has gone meanwhile.
async fn write<W: Worlds>(
    context: &Context<W>,
    object: &ModelDeployment,
    status: &ModelDeploymentStatus,
) -> Result<Option<Published>, TurnError> {
    let guard = &context.guard;
    if !guard.tenure.holds() {
        return Err(TurnError::LeaseLost);
    }
    if stands(object, status) {
        return Ok(Some(Published::Unchanged));
    }
    guard.failpoints.pass(Side::Before, PUBLISH);
    let published = publish(context.client.clone(), object, status).await;
    guard.failpoints.pass(Side::After, PUBLISH);
    match published {
        Ok(written) => Ok(Some(Published::Written(Box::new(written)))),
        Err(kube::Error::Api(refused)) if refused.is_not_found() => Ok(None),
        Err(kube::Error::Api(refused)) if refused.is_conflict() => Err(TurnError::Conflict),
        Err(error) => Err(TurnError::Publish(error)),
    }
}

/// What a status that was written tells beyond the one before.
fn noted<W: Worlds>(
    context: &Context<W>,
    object: &ModelDeployment,
    status: &ModelDeploymentStatus,
) -> Vec<kube_runtime::events::Event> {
    let nothing = ModelDeploymentStatus::default();
    let before = object.status.as_ref();
    let metrics = &context.guard.metrics;
    metrics.startups(before.unwrap_or(&nothing), status);
    events::of_changes(before, status)
}
