//! What this process knows of each model beside the cluster. Nothing rests on it: it is for
//! metrics, and for how long to wait after failures in a row.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chandler_core::validate::ModelKey;
use chandler_crds::conditions::ConditionType;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use kube::core::PartialObjectMeta;
use kube_runtime::reflector::{ObjectRef, Store};

/// What watches hold of a model: its metadata. Every turn reads the rest anew, so a model that
/// can't be read holds up no other, and memory stays small.
pub type Watched = PartialObjectMeta<ModelDeployment>;

/// The conditions that are counted.
const COUNTED: [ConditionType; 3] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
];

/// By condition and its status.
pub type Counts = BTreeMap<(ConditionName, String), i64>;
/// A condition's type on the wire.
pub type ConditionName = String;

/// Notes on every model.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    models: HashMap<ModelKey, Note>,
    /// The models that exist.
    present: Option<Store<Watched>>,
}

#[derive(Debug, Default)]
struct Note {
    /// Turns in a row that failed.
    failures: u32,
    conditions: Vec<(ConditionName, String)>,
}

impl Ledger {
    /// Begins anew, with the models of `store`.
    pub(crate) fn open(&self, store: Store<Watched>) {
        *self.notes() = Notes {
            models: HashMap::new(),
            present: Some(store),
        };
    }

    /// Forgets everything: another process leads.
    pub(crate) fn close(&self) {
        *self.notes() = Notes::default();
    }

    /// A turn went well.
    pub(crate) fn succeeded(&self, key: &ModelKey, status: &ModelDeploymentStatus) {
        let conditions = status.conditions.iter();
        let counted = conditions.filter(|condition| {
            let kind = condition.type_.as_str();
            COUNTED.iter().any(|counted| counted.as_str() == kind)
        });
        let note = Note {
            failures: 0,
            conditions: counted
                .map(|condition| (condition.type_.clone(), condition.status.clone()))
                .collect(),
        };
        self.notes().models.insert(key.clone(), note);
    }

    /// A turn failed; gives how many have in a row.
    pub(crate) fn failed(&self, key: &ModelKey) -> u32 {
        let mut notes = self.notes();
        let note = notes.models.entry(key.clone()).or_default();
        note.failures = note.failures.saturating_add(1);
        note.failures
    }

    pub(crate) fn forget(&self, key: &ModelKey) {
        self.notes().models.remove(key);
    }

    /// Whether a model is gone; while models are not known none is.
    pub(crate) fn is_gone(&self, key: &ModelKey) -> bool {
        let notes = self.notes();
        let present = notes.present.as_ref();
        present.is_some_and(|present| present.get(&reference(key)).is_none())
    }

    /// How many models there are by their conditions.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut notes = self.notes();
        let Notes { models, present } = &mut *notes;
        if let Some(present) = present {
            models.retain(|key, _| present.get(&reference(key)).is_some());
        }
        let mut counts = Counts::new();
        for condition in models.values().flat_map(|note| &note.conditions) {
            *counts.entry(condition.clone()).or_default() += 1;
        }
        counts
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The model in the terms of watches.
pub(crate) fn reference(key: &ModelKey) -> ObjectRef<Watched> {
    ObjectRef::new(&key.name).within(&key.namespace)
}

/// The model in the terms of decisions.
pub(crate) fn key(watched: &Watched) -> ModelKey {
    let metadata = &watched.metadata;
    ModelKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_runtime::reflector::store;
    use kube_runtime::watcher::Event;
    use serde_json::json;

    fn model(name: &str) -> ModelKey {
        ModelKey {
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    fn status(ready: &str) -> ModelDeploymentStatus {
        let time = "2026-01-01T00:00:00Z";
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "A", "message": "", "lastTransitionTime": time});
        let conditions = [
            condition("Ready", ready),
            condition("ModelResolved", "True"),
        ];
        serde_json::from_value(json!({"conditions": conditions})).expect("a status")
    }

    #[test]
    fn models_are_counted_while_they_exist() {
        let (reader, mut writer) = store::<Watched>();
        let ledger = Ledger::default();
        ledger.open(reader);
        for name in ["a", "b", "gone"] {
            let metadata = json!({"metadata": {"name": name, "namespace": "default"}});
            let watched = serde_json::from_value(metadata).expect("metadata");
            writer.apply_watcher_event(&Event::Apply(watched));
        }
        ledger.succeeded(&model("a"), &status("True"));
        ledger.succeeded(&model("b"), &status("False"));
        ledger.succeeded(&model("gone"), &status("True"));
        let metadata = json!({"metadata": {"name": "gone", "namespace": "default"}});
        let watched = serde_json::from_value(metadata).expect("metadata");
        writer.apply_watcher_event(&Event::Delete(watched));
        let ready = |status: &str| ("Ready".to_owned(), status.to_owned());
        let expected = Counts::from([(ready("True"), 1), (ready("False"), 1)]);
        assert_eq!(ledger.counts(), expected);
        ledger.close();
        assert_eq!(ledger.counts(), Counts::new());
    }

    #[test]
    fn failures_count_until_a_success() {
        let ledger = Ledger::default();
        let key = model("a");
        assert_eq!((ledger.failed(&key), ledger.failed(&key)), (1, 2));
        ledger.succeeded(&key, &status("True"));
        assert_eq!(ledger.failed(&key), 1);
        ledger.forget(&key);
        assert_eq!(ledger.failed(&key), 1);
    }
}
