//! Parses the wire spec into one validated type, once. Everything after this speaks of
//! [`Validated`], where every default is applied and every combination is possible.

mod scaling;
mod schedule;

use std::ops::RangeInclusive;
use std::time::Duration;

use chandler_crds::ModelDeployment;
use chandler_crds::spec::{Rollout, Server, Strategy, Task};
use jiff::Timestamp;

use crate::schedule::{Held, Schedule};
use crate::traffic::route::REQUEST_TIMEOUT;
use crate::worker::{self, Worker};

pub use scaling::{Limit, Replicas, Scaling, Targets};

/// Seconds that a stopping replica has, if the spec doesn't say.
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
/// Time without progress after which a rollout has failed, if the spec doesn't say.
const DEFAULT_PROGRESS: Duration = Duration::from_secs(600);

/// Bounds of the time that a request has.
const REQUEST_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Namespace and name of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelKey {
    /// Namespace; `default` in the local world.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for ModelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<&ModelDeployment> for ModelKey {
    fn from(object: &ModelDeployment) -> Self {
        Self {
            namespace: object
                .metadata
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            name: object.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// A spec that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Whose spec it is.
    pub key: ModelKey,
    /// `metadata.generation`.
    pub generation: i64,
    /// Name that callers give as `model`.
    pub served_name: String,
    /// Hash of everything that changes a replica: the revision that is wanted.
    pub revision: String,
    /// What a replica of that revision runs.
    pub worker: Worker,
    /// How many of them.
    pub replicas: Replicas,
    /// How that count follows the load, if it does.
    pub scaling: Option<Scaling>,
    /// Floors of that count by the clock.
    pub schedule: Schedule,
    /// How that revision takes over.
    pub strategy: TakeOver,
    /// Time without progress after which the rollout has failed.
    pub progress_deadline: Duration,
    /// Longest time from a request's arrival to the end of its answer. The gateway keeps it, so
    /// it is no part of a revision.
    pub request_timeout: Duration,
    /// Leave everything as it is.
    pub paused: bool,
}

impl Validated {
    /// Whether the count of replicas is to be decided by what they measure.
    #[must_use]
    pub fn follows_load(&self) -> bool {
        matches!(self.replicas, Replicas::Scaled { .. }) && !self.paused
    }

    /// The floor that the schedule sets now; none while nothing is to be changed.
    #[must_use]
    pub fn floor(&self, now: Timestamp) -> Option<Held> {
        self.schedule.held(now).filter(|_| !self.paused)
    }

    /// Fewest and most replicas now.
    #[must_use]
    pub fn bounds(&self, now: Timestamp) -> (u32, u32) {
        match self.replicas {
            Replicas::Fixed(count) => (count, count),
            Replicas::Scaled { min, max, .. } => {
                let floor = self.floor(now).map_or(min, |floor| floor.replicas);
                (floor.max(min), max)
            }
        }
    }
}

/// The strategies that are built; the wire's `auto` is decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// New beside old, then all traffic at once.
    BlueGreen,
    /// Old goes before new comes.
    Recreate,
}

/// A field that can't be followed, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field, such as `spec.model.task`.
    pub field: &'static str,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Validates an object. The CEL rules of the CRD were kept by whoever admitted it; what is
/// checked here is what rules can't tell, and anything a later version wrote.
///
/// # Errors
/// Every invalid field.
pub fn validate(object: &ModelDeployment) -> Result<Validated, Vec<Invalid>> {
    let mut invalid = Vec::new();
    let spec = &object.spec;
    let key = ModelKey::from(object);
    if key.name.is_empty() {
        invalid.push(Invalid {
            field: "metadata.name",
            message: "is empty: write a name".to_owned(),
        });
    }
    if spec.replicas.is_some() && spec.autoscaling.is_some() {
        let message = "stands beside autoscaling: remove one of the two";
        invalid.push(Invalid {
            field: "spec.replicas",
            message: message.to_owned(),
        });
    }
    source(&spec.model.source, &mut invalid);
    task(spec.model.task.unwrap_or_default(), &mut invalid);
    let autoscaling = spec.autoscaling.as_ref();
    let replicas = scaling::replicas(spec.replicas, autoscaling, &mut invalid);
    let scaling = autoscaling.map(|asked| scaling::scaling(asked, &mut invalid));
    let schedule = autoscaling.map(|asked| schedule::schedule(asked, &mut invalid));
    let strategy = strategy(spec.rollout.as_ref(), &mut invalid);
    let drain = drain(spec.server.as_ref(), &mut invalid);
    let request_timeout = request_timeout(spec.server.as_ref()).unwrap_or_else(|error| {
        invalid.push(error);
        REQUEST_TIMEOUT
    });
    if !invalid.is_empty() {
        return Err(invalid);
    }
    let served_name = spec
        .model
        .served_name
        .clone()
        .unwrap_or_else(|| key.name.clone());
    let worker = worker::Worker::new(&spec.model, spec.server.as_ref(), &served_name, drain);
    Ok(Validated {
        generation: object.metadata.generation.unwrap_or(0),
        revision: worker.revision(),
        served_name,
        worker,
        replicas,
        scaling,
        schedule: schedule.unwrap_or_default(),
        strategy,
        progress_deadline: spec
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.progress_deadline)
            .map_or(DEFAULT_PROGRESS, unsigned),
        request_timeout,
        paused: spec.paused.unwrap_or(false),
        key,
    })
}

fn source(source: &str, invalid: &mut Vec<Invalid>) {
    let relative = source
        .strip_prefix("file://")
        .is_some_and(|path| !path.starts_with('/'));
    if relative {
        let message = format!("`{source}` is relative: write file:// and an absolute path");
        invalid.push(Invalid {
            field: "spec.model.source",
            message,
        });
    }
}

fn task(task: Task, invalid: &mut Vec<Invalid>) {
    if !matches!(
        task,
        Task::Auto | Task::Chat | Task::Completion | Task::Embedding | Task::Classification
    ) {
        let message = format!(
            "`{task}` is not served by this version: write auto, chat, completion, embedding or classification"
        );
        invalid.push(Invalid {
            field: "spec.model.task",
            message,
        });
    }
}

/// A gate that is asked for and can't be kept must not be waved through: it is refused.
fn strategy(rollout: Option<&Rollout>, invalid: &mut Vec<Invalid>) -> TakeOver {
    let Some(rollout) = rollout else {
        return TakeOver::BlueGreen;
    };
    let mut later = |field, what: &str| {
        let message = format!(
            "{what} is not part of this version: remove it, or the rollout would go through ungated"
        );
        invalid.push(Invalid { field, message });
    };
    if rollout.analysis.is_some() {
        later("spec.rollout.analysis", "traffic analysis");
    }
    if rollout
        .evaluation
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        later("spec.rollout.evaluation", "answer evaluation");
    }
    if rollout.steps.as_ref().is_some_and(|list| !list.is_empty()) {
        later("spec.rollout.steps", "a canary's steps");
    }
    match rollout.strategy.unwrap_or_default() {
        Strategy::Auto | Strategy::BlueGreen => TakeOver::BlueGreen,
        Strategy::Recreate => TakeOver::Recreate,
        other @ (Strategy::Canary | Strategy::OneOutFirst) => {
            let message =
                format!("`{other}` is not part of this version: write auto, blueGreen or recreate");
            invalid.push(Invalid {
                field: "spec.rollout.strategy",
                message,
            });
            TakeOver::BlueGreen
        }
    }
}

fn drain(server: Option<&Server>, invalid: &mut Vec<Invalid>) -> Duration {
    let Some(seconds) = server.and_then(|server| server.drain_seconds) else {
        return DEFAULT_DRAIN;
    };
    u64::try_from(seconds)
        .map(Duration::from_secs)
        .unwrap_or_else(|_| {
            let message = format!("{seconds} is below 0: write 0 or more seconds");
            invalid.push(Invalid {
                field: "spec.server.drainSeconds",
                message,
            });
            DEFAULT_DRAIN
        })
}

/// The time that a model's requests have. The gateway asks this alone: whatever else is wrong with
/// a spec, the requests to the revision that still serves go on.
///
/// # Errors
/// It is out of its bounds.
pub fn request_timeout(server: Option<&Server>) -> Result<Duration, Invalid> {
    let Some(timeout) = server.and_then(|server| server.request_timeout) else {
        return Ok(REQUEST_TIMEOUT);
    };
    let length = unsigned(timeout); // A negative one is too short in any case.
    if REQUEST_TIMEOUTS.contains(&length) {
        return Ok(length);
    }
    let message = format!("{timeout} is not from 1s to 24h: write such as 90s or 10m");
    Err(Invalid {
        field: "spec.server.requestTimeout",
        message,
    })
}

/// A negative duration means at once.
fn unsigned(duration: chandler_crds::Duration) -> Duration {
    if duration.is_negative() {
        Duration::ZERO
    } else {
        duration.into()
    }
}
