//! Runs one model: a turn of the cycle whenever the spec, the world or the clock asks for one.

use std::sync::Arc;
use std::time::Duration;

use chandler_core::cycle::{Turn, cycle, remove};
use chandler_core::retry;
use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_crds::conditions::{ConditionType, Truth};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::local::{Local, LocalModel};
use crate::output::{Event, Events};

/// What a model shall be; `None` to have it gone.
pub(crate) type Wanted = Option<ModelDeployment>;

/// Runs a model until it is gone, or for ever.
pub(crate) async fn run(
    local: Arc<Local>,
    key: ModelKey,
    mut wanted: watch::Receiver<Wanted>,
    events: Events,
) {
    let mut runner = Runner {
        events,
        status: ModelDeploymentStatus::default(),
        last: None,
        spec: None,
        failures: 0,
    };
    loop {
        let object = wanted.borrow_and_update().clone();
        let wake_at = match object {
            Some(object) => runner.towards(&local, &key, object).await,
            None => match runner.away(&local, &key).await {
                Some(wake_at) => wake_at,
                None => return local.forget(&key),
            },
        };
        let wake = local.wake(&key);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = wake.notified() => {}
            () = until(wake_at) => {}
        }
    }
}

/// Sleeps until `at`; for ever if there is no such time.
async fn until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
                .await;
        }
        None => std::future::pending().await,
    }
}

struct Runner {
    events: Events,
    status: ModelDeploymentStatus,
    /// What was last told of the model.
    last: Option<Event>,
    /// The last spec that was followed.
    spec: Option<Validated>,
    /// Turns in a row that could not observe the world.
    failures: u32,
}

impl Runner {
    /// A turn towards the spec; gives when to look again.
    async fn towards(
        &mut self,
        local: &Arc<Local>,
        key: &ModelKey,
        mut object: ModelDeployment,
    ) -> Option<Timestamp> {
        if let Ok(spec) = validate(&object) {
            local.know(&spec);
            self.spec = Some(spec);
        }
        object.status = Some(self.status.clone());
        let mut world = local.world(key);
        let now = Timestamp::now();
        match cycle(&mut world, &object, now).await {
            Ok(turn) => self.conclude(key, turn),
            Err(failure) => Some(self.failed(key, &failure.to_string(), now)),
        }
    }

    /// A turn towards being gone; `None` once it is.
    async fn away(&mut self, local: &Arc<Local>, key: &ModelKey) -> Option<Option<Timestamp>> {
        let spec = self.spec.clone()?;
        let mut world: LocalModel = local.world(key);
        let now = Timestamp::now();
        match remove(&mut world, &spec, &self.status, now).await {
            Ok(None) => None,
            Ok(Some(turn)) => Some(self.conclude(key, turn)),
            Err(failure) => Some(Some(self.failed(key, &failure.to_string(), now))),
        }
    }

    fn conclude(&mut self, key: &ModelKey, turn: Turn) -> Option<Timestamp> {
        self.failures = 0;
        self.status = turn.status;
        if !turn.decision.actions.is_empty() {
            self.tell(Event::Decision {
                model: key.name.clone(),
                why: self.status.why.clone(),
            });
        }
        let event = model_event(key, &self.status);
        if self.last.as_ref() != Some(&event) {
            self.tell(event.clone());
            self.last = Some(event);
        }
        turn.wake_at
    }

    fn failed(&mut self, key: &ModelKey, message: &str, now: Timestamp) -> Timestamp {
        self.failures = self.failures.saturating_add(1);
        self.tell(Event::Fault {
            message: format!("{key}: {message}"),
        });
        now.checked_add(retry::RESOLVE.delay(self.failures, &key.name))
            .unwrap_or(Timestamp::MAX)
    }

    fn tell(&self, event: Event) {
        // The printer ends last; if it has gone, nobody listens.
        let _ = self.events.send(event);
    }
}

/// A model's status in short: what holds it up, if anything does.
fn model_event(key: &ModelKey, status: &ModelDeploymentStatus) -> Event {
    let find = |kind: ConditionType| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind.as_str())
    };
    let is_true =
        |kind| find(kind).is_some_and(|condition| condition.status == Truth::True.as_str());
    let stalled = is_true(ConditionType::Stalled);
    let told = if stalled {
        find(ConditionType::Stalled)
    } else {
        find(ConditionType::Ready)
    };
    Event::Model {
        model: key.name.clone(),
        ready: is_true(ConditionType::Ready),
        reason: told
            .map(|condition| condition.reason.clone())
            .unwrap_or_default(),
        message: told
            .map(|condition| condition.message.clone())
            .unwrap_or_default(),
        stalled,
        revision: status.current_revision.clone(),
        replicas: status.replica_summary.clone().unwrap_or_default(),
    }
}
