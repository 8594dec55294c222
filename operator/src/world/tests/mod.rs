//! A model's world on an API server in memory.

#![allow(clippy::unwrap_used)]

mod changes;
mod failures;
mod fake;
mod glances;
mod judging;
mod looks;
mod resolving;

use std::sync::Arc;

use chandler_core::decide::Action;
use chandler_core::snapshot::{Snapshot, Weights};
use chandler_core::validate::{ModelKey, validate};
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::{ModelDeployment, ModelLock};
use serde_json::{Value, json};

use self::fake::Fake;
use super::ClusterModel;
use crate::gateways::Gateways;
use crate::metrics::Metrics;
use crate::render::{Site, with_default_image};
use crate::scrape::Scraper;

const SOURCE: &str = "hf://org/name";

fn site() -> Site {
    Site {
        server_image: "example.com/server:1".to_owned(),
        evaluator_image: Some("example.com/chandler:1".to_owned()),
        ..Site::default()
    }
}

fn lock() -> ModelLock {
    ModelLock {
        source: SOURCE.to_owned(),
        ..ModelLock::default()
    }
}

/// A model named `chat`, and the cluster that it is in.
struct Fixture {
    fake: Fake,
    gateways: Option<Gateways>,
    scraper: Scraper,
    metrics: Metrics,
    object: ModelDeployment,
    revision: String,
}

impl Fixture {
    fn new() -> Self {
        let uid = "owner-1";
        let object = json!({
            "apiVersion": "chandler.dev/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": "chat", "namespace": "models", "uid": uid},
            "spec": {"model": {"source": SOURCE}, "replicas": 2},
        });
        let object = with_default_image(serde_json::from_value(object).unwrap(), &site());
        let revision = validate(&object).unwrap().revision;
        let metrics = Metrics::new().unwrap();
        Self {
            fake: Fake::default(),
            gateways: None,
            scraper: Scraper::new(chandler_probe::Client::new(), metrics.clone()),
            metrics,
            object,
            revision,
        }
    }

    /// One whose revision exists and is remembered with its lock.
    async fn made() -> Self {
        let mut fixture = Self::new();
        let known = json!({"revisions": [{"name": fixture.revision, "phase": "Starting",
            "createdAt": "2026-01-01T00:00:00.000000Z", "lock": lock()}]});
        fixture.object.status = Some(serde_json::from_value(known).unwrap());
        let action = fixture.ensure();
        assert_eq!(fixture.perform(&action).await, Outcome::Done);
        fixture
    }

    fn world(&self) -> ClusterModel {
        let probe = chandler_probe::Client::new();
        let (client, site) = (self.fake.client(), Arc::new(site()));
        let (gateways, scraper) = (self.gateways.clone(), self.scraper.clone());
        ClusterModel::new(client, site, probe, gateways, scraper, &self.object)
    }

    async fn perform(&self, action: &Action) -> Outcome {
        let key = ModelKey::from(&self.object);
        self.world().perform(&key, action).await
    }

    async fn observe(&self) -> Result<Snapshot, Failure> {
        let key = ModelKey::from(&self.object);
        self.world().observe(&key, None).await
    }

    /// Name of the revision's objects, below a kind.
    fn path(&self, kind: &str) -> String {
        format!("{kind}/chat-{}", self.revision)
    }

    fn resolve(&self) -> Action {
        Action::Resolve {
            revision: self.revision.clone(),
            source: SOURCE.to_owned(),
            source_revision: None,
        }
    }

    fn ensure(&self) -> Action {
        let worker = validate(&self.object).unwrap().worker.spec(&lock());
        Action::EnsureRevision {
            revision: self.revision.clone(),
            worker: Box::new(worker),
            replicas: 2,
        }
    }

    fn mend(&self) -> Action {
        let worker = validate(&self.object).unwrap().worker.spec(&lock());
        Action::Mend {
            revision: self.revision.clone(),
            worker: Box::new(worker),
        }
    }

    fn scale(&self, from: u32, to: u32) -> Action {
        let revision = self.revision.clone();
        Action::Scale { revision, from, to }
    }

    fn shift(from: &Weights, to: &Weights) -> Action {
        Action::SetTraffic {
            from: from.clone(),
            to: to.clone(),
        }
    }

    fn retire(&self) -> Action {
        Action::Retire {
            revision: self.revision.clone(),
        }
    }

    fn all(&self) -> Weights {
        Weights::from([(self.revision.clone(), 100)])
    }

    /// A controller reference to the model.
    fn owned(&self) -> Value {
        owner(
            "ModelDeployment",
            "chat",
            self.object.metadata.uid.as_deref().unwrap(),
        )
    }
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
}

/// The reason of a failure and whether it may pass.
fn failed(outcome: Outcome) -> (String, bool) {
    match outcome {
        Outcome::Failed(failure) => (failure.reason, failure.transient),
        other => panic!("{other:?} is no failure"),
    }
}

fn conflict() -> (String, bool) {
    ("Conflict".to_owned(), true)
}
