//! Parses the wire spec into one validated type, once. Everything after this speaks of
//! [`Validated`], where every default is applied and every combination is possible.

mod evaluation;
mod rollout;
mod scaling;
mod schedule;
mod shadow;

use std::ops::RangeInclusive;
use std::time::Duration;

use chandler_crds::ModelDeployment;
use chandler_crds::spec::{Model, Server, Task};
use chandler_crds::status::RevisionTemplate;
use jiff::Timestamp;

use crate::schedule::{Held, Schedule};
use crate::traffic::route::REQUEST_TIMEOUT;
use crate::worker::Worker;

pub use rollout::{Aside, Policy, Step, TakeOver};
pub use scaling::{Limit, Replicas, Scaling, Targets};

/// Seconds that a stopping replica has, if the spec doesn't say.
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
/// Revisions without replicas that are remembered, if the spec doesn't say.
const DEFAULT_HISTORY: usize = 10;

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
    /// What that was made from: enough to make it again.
    pub template: Box<RevisionTemplate>,
    /// How many of them.
    pub replicas: Replicas,
    /// How that count follows the load, if it does.
    pub scaling: Option<Scaling>,
    /// Floors of that count by the clock.
    pub schedule: Schedule,
    /// How that revision takes over.
    pub rollout: Policy,
    /// Revisions without replicas that are remembered.
    pub history: usize,
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

    /// The same wishes with another revision wanted: the one called `name`, made from `template`. `None`
    /// if that would be another one by now, or none.
    #[must_use]
    pub fn with_revision(&self, name: &str, template: &RevisionTemplate) -> Option<Self> {
        let mut invalid = Vec::new();
        let (served_name, worker) = worker(&self.key.name, template, &mut invalid);
        let same = invalid.is_empty() && worker.revision() == name;
        same.then(|| Self {
            served_name,
            revision: name.to_owned(),
            worker,
            template: Box::new(template.clone()),
            ..self.clone()
        })
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
    let rollout = rollout::policy(spec.rollout.as_ref(), &mut invalid);
    let template = template(&spec.model, spec.server.as_ref());
    let (served_name, worker) = worker(&key.name, &template, &mut invalid);
    let request_timeout = request_timeout(spec.server.as_ref()).unwrap_or_else(|error| {
        invalid.push(error);
        REQUEST_TIMEOUT
    });
    if !invalid.is_empty() {
        return Err(invalid);
    }
    Ok(Validated {
        generation: object.metadata.generation.unwrap_or(0),
        revision: worker.revision(),
        served_name,
        worker,
        template: Box::new(template),
        replicas,
        scaling,
        schedule: schedule.unwrap_or_default(),
        rollout,
        history: spec
            .revision_history_limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(DEFAULT_HISTORY),
        request_timeout,
        paused: spec.paused.unwrap_or(false),
        key,
    })
}

/// What a revision is made from. The time that a request has is no part of it.
fn template(model: &Model, server: Option<&Server>) -> RevisionTemplate {
    RevisionTemplate {
        model: model.clone(),
        server: server.map(|server| Server {
            request_timeout: None,
            ..server.clone()
        }),
    }
}

/// What a replica made from `template` runs, and under which name, of the model called `name`.
fn worker(name: &str, template: &RevisionTemplate, invalid: &mut Vec<Invalid>) -> (String, Worker) {
    let RevisionTemplate { model, server } = template;
    let drain = drain(server.as_ref(), invalid);
    let served_name = model.served_name.clone();
    let served_name = served_name.unwrap_or_else(|| name.to_owned());
    let worker = Worker::new(model, server.as_ref(), &served_name, drain);
    (served_name, worker)
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
