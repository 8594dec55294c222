//! The port to a cluster, for one model: API objects in, API objects out.
//!
//! Rights on the API that are used here, all in the model's namespace:
//!
//! | resource | verbs | for |
//! |---|---|---|
//! | `deployments` (apps) | list, create, patch, delete | revisions; `create` since an apply that makes an object needs both |
//! | `services` | list, create, patch, delete | headless and stable Services |
//! | `poddisruptionbudgets` (policy) | list, create, patch, delete | drains take few replicas at a time |
//! | `pods` | list | readiness, failures, addresses, last words |
//! | `resourcequotas` | list | room for more replicas |
//! | `jobs` (batch) | list, create, patch, delete | resolving sources, judging answers |
//!
//! The gateways and the replicas are asked for their metrics over plain HTTP, by address; replicas
//! of models that follow their load each second, which is [`crate::scrape`]'s.
//!
//! Where it looks after all namespaces, `nodes` and the pods of all are listed too, for that room.
//!
//! Nothing is got by name: a list with a field selector finds one object with the right to list.
//! Watching is the controller's. Secrets and claims are never read.

mod api;
mod drift;
mod errand;
mod error;
mod evaluate;
mod failure;
mod idle;
mod observe;
mod owner;
mod perform;
mod probe;
mod resolve;
mod room;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use chandler_core::analysis::Question;
use chandler_core::decide::Action;
use chandler_core::memory::Memory;
use chandler_core::rollout::{fallback, restored};
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::ModelDeployment;

use self::api::Cluster;
use self::owner::Owner;
use crate::gateways::Gateways;
use crate::render::{Blueprint, Site};
use crate::scrape::Scraper;

pub use error::WorldError;
pub use room::room_for;

/// One model of a cluster, for one turn.
pub struct ClusterModel {
    cluster: Cluster,
    site: Arc<Site>,
    probe: chandler_probe::Client,
    /// Those of the installation, if it has any.
    gateways: Option<Gateways>,
    scraper: Scraper,
    object: ModelDeployment,
    owner: Owner,
    /// What the object asks for; `None` if it can't be followed.
    wanted: Option<Validated>,
    /// What is remembered of it.
    memory: Memory,
}

impl fmt::Debug for ClusterModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterModel({})", ModelKey::from(&self.object))
    }
}

impl ClusterModel {
    /// The world of `object`, freshly read and with its image written out: what is rendered and
    /// who owns it comes from there.
    #[must_use]
    pub fn new(
        client: kube::Client,
        site: Arc<Site>,
        probe: chandler_probe::Client,
        gateways: Option<Gateways>,
        scraper: Scraper,
        object: &ModelDeployment,
    ) -> Self {
        let key = ModelKey::from(object);
        Self {
            cluster: Cluster::new(client, key.namespace),
            site,
            probe,
            gateways,
            scraper,
            object: object.clone(),
            owner: Owner {
                name: key.name,
                uid: object.metadata.uid.clone().unwrap_or_default(),
            },
            wanted: validate(object).ok(),
            memory: Memory::from_status(object.status.as_ref()),
        }
    }

    fn blueprint(&self) -> Blueprint<'_> {
        self.blueprint_of(&self.object)
    }

    fn blueprint_of<'a>(&'a self, object: &'a ModelDeployment) -> Blueprint<'a> {
        Blueprint {
            object,
            site: &self.site,
        }
    }

    /// What the spec would be with `revision` wanted. Only the revision that it asks for can be
    /// rendered, and one that status tells the making of.
    fn wanting(&self, revision: &str) -> Result<Validated, WorldError> {
        let wanted = self.wanted.as_ref();
        let found = match wanted.filter(|wanted| wanted.revision == revision) {
            Some(wanted) => Some(wanted.clone()),
            None => wanted.and_then(|wanted| restored(wanted, revision, &self.memory)),
        };
        found.ok_or_else(|| {
            let message = format!("nothing tells what revision {revision} is made from");
            WorldError::Conflict(message)
        })
    }

    /// The object that asks for `revision`.
    fn asking(&self, revision: &str) -> Result<ModelDeployment, WorldError> {
        let template = self.wanting(revision)?.template;
        let mut object = self.object.clone();
        object.spec.model = template.model;
        object.spec.server = template.server;
        Ok(object)
    }

    /// What decisions are for: the wanted revision, or the one that it gave way to.
    fn pursued(&self) -> Option<Validated> {
        let wanted = self.wanted.as_ref()?;
        fallback(wanted, &self.memory).or_else(|| Some(wanted.clone()))
    }

    /// The revisions that shall be as they were made: that one, and the one that it takes over from.
    fn kept(&self) -> Vec<Validated> {
        let Some(pursued) = self.pursued().filter(|pursued| !pursued.paused) else {
            return Vec::new();
        };
        let rollout = self.memory.rollout.as_ref();
        let open = rollout.filter(|it| it.is_open() && it.revision == pursued.revision);
        let from = open.and_then(|it| it.from.as_ref());
        let from = from.and_then(|from| self.wanting(from).ok());
        [pursued].into_iter().chain(from).collect()
    }

    async fn look(&self) -> Result<Snapshot, WorldError> {
        let objects = observe::objects(&self.cluster, &self.owner).await?;
        let mut snapshot = observe::snapshot(&objects);
        for kept in self.kept() {
            if let Some(seen) = snapshot.revisions.get_mut(&kept.revision)
                && let Some(lock) = self.memory.lock(&kept.revision)
            {
                let worker = kept.worker.spec(lock);
                seen.drifted = self.drifted(&kept.revision, &worker, &objects).await?;
            }
        }
        self.hear(&objects, &mut snapshot).await;
        snapshot.room = self.room().await?;
        Ok(snapshot)
    }
}

impl World for ClusterModel {
    async fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> Result<Snapshot, Failure> {
        let mut snapshot = self.look().await?;
        if let Some(gateways) = &self.gateways {
            snapshot.trial = gateways.compare(key, question);
        }
        Ok(snapshot)
    }

    async fn perform(&mut self, _key: &ModelKey, action: &Action) -> Outcome {
        let done = self.act(action).await;
        done.unwrap_or_else(|error| Outcome::Failed(error.into()))
    }
}
