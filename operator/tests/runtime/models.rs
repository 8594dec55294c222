//! A world that does as it is told, and an object to serve in it.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chandler_core::analysis::Question;
use chandler_core::decide::Action;
use chandler_core::snapshot::{RevisionSeen, Snapshot};
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::names::{GROUP, KIND, VERSION};
use chandler_crds::{LockedFile, ModelDeployment, ModelLock};
use chandler_operator::reconcile::{Left, Worlds};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::fake::FakeApi;

/// The model that most tests are about.
pub(crate) const NAME: &str = "chat";

/// What a world does next when it is observed.
#[derive(Clone, Debug)]
pub(crate) enum Sight {
    Fails(Failure),
    /// The object is changed by someone else meanwhile.
    Changed,
    Never,
}

/// Worlds of every model, with one script.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) api: FakeApi,
    pub(crate) sights: Mutex<VecDeque<Sight>>,
    pub(crate) outcomes: Mutex<VecDeque<Outcome>>,
    pub(crate) performed: Mutex<Vec<&'static str>>,
    /// What turns left that changed nothing, until others began.
    pub(crate) settled: Mutex<BTreeMap<ModelKey, Left>>,
    /// Observations that are under way.
    pub(crate) looking: AtomicUsize,
    pub(crate) looks: AtomicUsize,
    /// What there is.
    snapshot: Mutex<Snapshot>,
    mute: AtomicBool,
    probed: Notify,
}

impl Scripted {
    pub(crate) fn new(api: &FakeApi) -> Arc<Self> {
        let api = api.clone();
        Arc::new(Self {
            api,
            ..Self::default()
        })
    }

    pub(crate) fn sees(&self, sights: impl IntoIterator<Item = Sight>) {
        self.sights.lock().unwrap().extend(sights);
    }

    pub(crate) fn does(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.outcomes.lock().unwrap().extend(outcomes);
    }

    /// The revision is there with its one replica ready.
    pub(crate) fn has_ready(&self, revision: &str) {
        let seen = RevisionSeen {
            desired: 1,
            ready: 1,
            ..RevisionSeen::default()
        };
        let mut snapshot = self.snapshot.lock().unwrap();
        snapshot.revisions.insert(revision.to_owned(), seen);
        snapshot.weights.insert(revision.to_owned(), 100);
    }

    /// From now on a probe waits for ever.
    pub(crate) fn mute(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }

    /// Returns once a probe waits.
    pub(crate) async fn probing(&self) {
        self.probed.notified().await;
    }

    pub(crate) fn performed(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.performed.lock().unwrap())
    }
}

/// Counts while it lives.
struct Looking<'a>(&'a AtomicUsize);

impl<'a> Looking<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(crate) struct ScriptedModel(Arc<Scripted>);

impl World for ScriptedModel {
    async fn observe(&mut self, key: &ModelKey, _: Option<&Question>) -> Result<Snapshot, Failure> {
        let _looking = Looking::new(&self.0.looking);
        let settled = self.0.settled.lock().unwrap().contains_key(key);
        assert!(!settled, "what a turn left holds until the next one");
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        let sight = self.0.sights.lock().unwrap().pop_front();
        match sight {
            None => {}
            Some(Sight::Fails(failure)) => return Err(failure),
            Some(Sight::Changed) => {
                let path = path(&key.name);
                let object = self.0.api.get(&path).unwrap();
                self.0.api.put(&path, object);
            }
            Some(Sight::Never) => pending().await,
        }
        // The other models have nothing yet.
        let is_new = key.name != NAME;
        let snapshot = self.0.snapshot.lock().unwrap().clone();
        Ok(if is_new {
            Snapshot::default()
        } else {
            snapshot
        })
    }

    async fn perform(&mut self, _key: &ModelKey, action: &Action) -> Outcome {
        self.0.performed.lock().unwrap().push(action.name());
        if matches!(action, Action::Probe { .. }) && self.0.mute.load(Ordering::SeqCst) {
            self.0.probed.notify_one();
            pending::<()>().await;
        }
        let next = self.0.outcomes.lock().unwrap().pop_front();
        next.unwrap_or(Outcome::Pending { blocked: None })
    }
}

/// What the operator is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptedWorlds(pub(crate) Arc<Scripted>);

impl Worlds for ScriptedWorlds {
    type Model = ScriptedModel;

    fn complete(&self, object: ModelDeployment) -> ModelDeployment {
        object
    }

    fn of(&self, _object: &ModelDeployment) -> ScriptedModel {
        ScriptedModel(Arc::clone(&self.0))
    }

    fn gone(&self, _: &ModelKey) {}

    fn unsettle(&self, key: &ModelKey) {
        self.0.settled.lock().unwrap().remove(key);
    }

    fn settle(&self, key: &ModelKey, left: Left) {
        self.0.settled.lock().unwrap().insert(key.clone(), left);
    }
}

pub(crate) fn key(name: &str) -> ModelKey {
    ModelKey {
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn path(name: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/default/modeldeployments/{name}")
}

pub(crate) fn object(name: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": name, "namespace": "default", "generation": 3, "uid": "u-1"},
        "spec": {"model": {"source": "hf://org/model"}},
    })
}

pub(crate) fn lock() -> ModelLock {
    ModelLock {
        source: "hf://org/model".to_owned(),
        commit: None,
        files: vec![LockedFile {
            path: "model.safetensors".to_owned(),
            size: 10,
            sha256: "0".repeat(64),
        }],
    }
}
