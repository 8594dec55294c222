//! What there is: models, their revisions, their replicas. Plain data behind one lock that is
//! never held across a wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chandler_core::load::Series;
use chandler_core::snapshot::Weights;
use chandler_core::traffic::Shadow;
use chandler_core::validate::{ModelKey, Validated};
use chandler_core::worker::WorkerSpec;
use chandler_gateway::Endpoint;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::watch;

use super::judging::Judging;
use super::replica::{Replica, Stop};

#[derive(Default)]
pub(super) struct Models {
    pub(super) all: BTreeMap<ModelKey, Model>,
    /// Replicas that are on their way out and count no more.
    pub(super) leaving: Vec<Replica>,
    /// Stops of replicas that `take_all` gave away.
    ending: Vec<watch::Sender<Stop>>,
}

pub(super) struct Model {
    pub(super) served_name: String,
    pub(super) request_timeout: Duration,
    pub(super) created: Timestamp,
    /// Whether it goes to zero replicas when no request comes.
    pub(super) may_sleep: bool,
    /// Whether its replicas are asked what they measure.
    pub(super) follows_load: bool,
    /// What they told; nothing of a model that does not follow it.
    pub(super) series: Series,
    pub(super) revisions: BTreeMap<String, Revision>,
    pub(super) weights: Weights,
    pub(super) wake: Arc<Notify>,
    /// Prompts that are asked aside.
    pub(super) shadow: Option<Shadow>,
    /// The answers that are being judged.
    pub(super) judging: Option<Judging>,
}

pub(super) struct Revision {
    pub(super) worker: WorkerSpec,
    pub(super) desired: u32,
    pub(super) replicas: Vec<Replica>,
}

impl Models {
    pub(super) fn insert(&mut self, spec: &Validated) {
        let model = self.all.entry(spec.key.clone()).or_insert_with(|| Model {
            served_name: String::new(),
            request_timeout: spec.request_timeout,
            created: Timestamp::now(),
            may_sleep: false,
            follows_load: false,
            series: Series::default(),
            revisions: BTreeMap::new(),
            weights: Weights::new(),
            wake: Arc::new(Notify::new()),
            shadow: None,
            judging: None,
        });
        spec.served_name.clone_into(&mut model.served_name);
        model.request_timeout = spec.request_timeout;
        model.may_sleep = spec.replicas.idle_after().is_some();
        model.follows_load = spec.follows_load();
        if !model.follows_load {
            model.series = Series::default();
        }
    }

    pub(super) fn remove(&mut self, key: &ModelKey) {
        self.all.remove(key);
    }

    /// Lets go of replicas whose process is gone.
    pub(super) fn tidy(&mut self) {
        self.leaving.retain(|replica| !replica.is_gone());
    }

    pub(super) fn wake(&self, key: &ModelKey) -> Arc<Notify> {
        self.all
            .get(key)
            .map(|model| Arc::clone(&model.wake))
            .unwrap_or_default()
    }

    /// Wakes the runners of these models.
    pub(super) fn wake_all(&self, keys: &[String]) {
        for (key, model) in &self.all {
            if keys.contains(&key.to_string()) {
                model.wake.notify_one();
            }
        }
    }

    pub(super) fn take_all(&mut self) -> Vec<Replica> {
        let revisions = self
            .all
            .values_mut()
            .flat_map(|model| std::mem::take(&mut model.revisions).into_values());
        let current = revisions.flat_map(|revision| revision.replicas);
        let replicas: Vec<Replica> = current.chain(std::mem::take(&mut self.leaving)).collect();
        self.ending.extend(replicas.iter().map(Replica::stopper));
        replicas
    }

    pub(super) fn stop_now(&self) {
        for stop in &self.ending {
            stop.send_replace(Stop::Now);
        }
    }
}

impl Model {
    /// Where a ready replica of a revision is asked.
    pub(super) fn ready(&self, revision: &str) -> Option<Endpoint> {
        let replicas = &self.revisions.get(revision)?.replicas;
        let mut replicas = replicas.iter();
        replicas.find_map(|replica| replica.view().ready_endpoint())
    }
}

impl Revision {
    /// The lowest numbers that no replica has.
    pub(super) fn free_numbers(&self, count: usize) -> Vec<u32> {
        let taken: BTreeSet<u32> = self.replicas.iter().map(|replica| replica.number).collect();
        (0..)
            .filter(|number| !taken.contains(number))
            .take(count)
            .collect()
    }
}
