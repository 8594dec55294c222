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
//! | `jobs` (batch) | list, create, patch, delete | resolving sources |
//!
//! The gateways and the replicas are asked for their metrics over plain HTTP, by address; replicas
//! of models that follow their load each second, which is [`crate::scrape`]'s.
//!
//! Nothing is got by name: a list with a field selector finds one object with the right to list.
//! Watching is the controller's. Secrets, claims and nodes are never read.

mod api;
mod drift;
mod error;
mod failure;
mod idle;
mod observe;
mod owner;
mod perform;
mod probe;
mod resolve;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use chandler_core::decide::Action;
use chandler_core::memory::Memory;
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::{ModelDeployment, ModelLock};

use self::api::Cluster;
use self::owner::Owner;
use crate::gateways::Gateways;
use crate::render::{Blueprint, Site};
use crate::scrape::Scraper;

pub use error::WorldError;

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
        }
    }

    fn blueprint(&self) -> Blueprint<'_> {
        Blueprint {
            object: &self.object,
            site: &self.site,
        }
    }

    /// What `revision` is made from. Only the revision that the spec asks for can be rendered.
    fn wanted(&self, revision: &str) -> Result<&Validated, WorldError> {
        let wanted = self.wanted.as_ref();
        wanted
            .filter(|wanted| wanted.revision == revision)
            .ok_or_else(|| {
                WorldError::Conflict(format!("revision {revision} is not what the spec asks for"))
            })
    }

    fn lock(&self, revision: &str) -> Option<ModelLock> {
        let mut memory = Memory::from_status(self.object.status.as_ref());
        memory.revisions.remove(revision)?.lock
    }

    async fn look(&self) -> Result<Snapshot, WorldError> {
        let objects = observe::objects(&self.cluster, &self.owner).await?;
        let mut snapshot = observe::snapshot(&objects);
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| !wanted.paused)
            && let Some(seen) = snapshot.revisions.get_mut(&wanted.revision)
            && let Some(lock) = self.lock(&wanted.revision)
        {
            let worker = wanted.worker.spec(&lock);
            seen.drifted = self.drifted(&wanted.revision, &worker, &objects).await?;
        }
        self.hear(&objects, &mut snapshot).await;
        Ok(snapshot)
    }
}

impl World for ClusterModel {
    async fn observe(&mut self, _key: &ModelKey) -> Result<Snapshot, Failure> {
        Ok(self.look().await?)
    }

    async fn perform(&mut self, _key: &ModelKey, action: &Action) -> Outcome {
        let done = self.act(action).await;
        done.unwrap_or_else(|error| Outcome::Failed(error.into()))
    }
}
