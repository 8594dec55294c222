//! Whether someone changed what a revision is made of.
//!
//! The API server itself is asked: a dry run of server-side apply tells what applying our fields
//! again would change. What others have added (annotations, fields that we do not set) stays in
//! the answer and is no difference; a field of ours that was changed or removed is one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

use chandler_core::worker::WorkerSpec;
use kube::ResourceExt;
use serde_json::Value;

use super::ClusterModel;
use super::api::Kind;
use super::error::WorldError;
use super::observe::{Objects, desired};
use crate::render::{deployment, disruption_budget, headless_service, stable_service, weights_of};

/// Objects remembered at most; beyond, all are forgotten and compared again.
const REMEMBERED: usize = 1 << 14;

/// Objects that were found to be as rendered: the hash of both, by uid. It spares the API server
/// a dry run for each look at an unchanged object, and may be lost at any time.
static VERIFIED: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

impl ClusterModel {
    /// Whether an object of the wanted revision is not what it would be made as.
    pub(super) async fn drifted(
        &self,
        revision: &str,
        worker: &WorkerSpec,
        objects: &Objects,
    ) -> Result<bool, WorldError> {
        let blueprint = self.blueprint();
        let Some(live) = objects.deployments.get(revision) else {
            return Ok(false);
        };
        let parts = (
            objects.headless.get(revision),
            objects.budgets.get(revision),
        );
        let (Some(headless), Some(budget)) = parts else {
            return Ok(true);
        };
        let asking = self.asking(revision)?;
        let of_revision = self.blueprint_of(&asking);
        let rendered = deployment(&of_revision, revision, worker, desired(live));
        if self.differs(rendered, live).await?
            || self
                .differs(headless_service(&blueprint, revision), headless)
                .await?
            || self
                .differs(disruption_budget(&blueprint, revision), budget)
                .await?
        {
            return Ok(true);
        }
        let Some(stable) = &objects.stable else {
            return Ok(false);
        };
        // Without traffic of this revision, setting the traffic makes it right.
        let weights = weights_of(stable);
        if weights.get(revision).is_none_or(|weight| *weight == 0) {
            return Ok(false);
        }
        self.differs(stable_service(&blueprint, &weights), stable)
            .await
    }

    async fn differs<K: Kind>(&self, mut rendered: K, live: &K) -> Result<bool, WorldError> {
        let uid = live.uid().unwrap_or_default();
        let shape = shape(live);
        let both = hash(&[&shape.to_string(), &self::shape(&rendered).to_string()]);
        if recall(&uid) == Some(both) {
            return Ok(false);
        }
        // Of exactly this object: one that is gone must not be made by a look at it.
        rendered.meta_mut().uid.clone_from(&live.meta().uid);
        match self.cluster.rehearse(&rendered).await {
            Ok(after) if self::shape(&after) == shape => {
                remember(uid, both);
                Ok(false)
            }
            // It can't be told what a refused apply would change: mending tells the refusal.
            Ok(_) | Err(WorldError::Refused { .. } | WorldError::Forbidden { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// What of an object is anyone's to change: neither its status nor the server's bookkeeping.
fn shape<K: Kind>(object: &K) -> Value {
    let mut whole = serde_json::to_value(object).unwrap_or_default();
    let meta = &mut whole["metadata"];
    let meta = ["labels", "annotations", "ownerReferences"].map(|key| meta[key].take());
    Value::from_iter([
        ("metadata", Value::from_iter(meta)),
        ("spec", whole["spec"].take()),
    ])
}

fn hash(texts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    hasher.finish()
}

fn recall(uid: &str) -> Option<u64> {
    let known = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(uid).copied()
}

fn remember(uid: String, hash: u64) {
    let mut known = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(uid, hash);
}
