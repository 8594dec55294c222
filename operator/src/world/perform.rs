//! Actions that change objects. Each looks at what it changes and carries that as a precondition,
//! so that a second doer, or someone else's change in between, fails it and does no harm.

use chandler_core::decide::Action;
use chandler_core::snapshot::Weights;
use chandler_core::worker::WorkerSpec;
use chandler_core::world::Outcome;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::ClusterModel;
use super::api::Kind;
use super::error::WorldError;
use super::observe::desired;
use crate::render::{deployment, disruption_budget, headless_service, stable_service, weights_of};

type Result<T> = std::result::Result<T, WorldError>;

/// Times that a change is tried when someone else's write comes in between. A Deployment's status
/// is written many times while its pods start, and each try looks anew at all that must be so.
const TRIES: usize = 3;

/// What a revision has beside its Deployment, as it is found.
struct Parts {
    headless: Option<Service>,
    budget: Option<PodDisruptionBudget>,
}

impl ClusterModel {
    pub(super) async fn act(&self, action: &Action) -> Result<Outcome> {
        let mut done = self.attempt(action).await;
        for _ in 1..TRIES {
            if !matches!(done, Err(WorldError::Changed { .. })) {
                break;
            }
            done = self.attempt(action).await;
        }
        done
    }

    async fn attempt(&self, action: &Action) -> Result<Outcome> {
        match action {
            Action::Resolve {
                revision,
                source,
                source_revision,
            } => {
                return self
                    .resolve(revision, source, source_revision.as_deref())
                    .await;
            }
            Action::Probe { revision } => {
                return Ok(Outcome::Answered(self.ask(revision).await?));
            }
            Action::Evaluate {
                revision,
                from,
                evaluations,
            } => return self.evaluate(revision, from, evaluations).await,
            Action::EnsureRevision {
                revision,
                worker,
                replicas,
            } => self.ensure(revision, worker, *replicas).await?,
            Action::Scale { revision, from, to } => self.scale(revision, *from, *to).await?,
            Action::Mend { revision, worker } => self.mend(revision, worker).await?,
            Action::SetTraffic { from, to } => self.set_traffic(from, to).await?,
            Action::Retire { revision } => self.retire(revision).await?,
        }
        Ok(Outcome::Done)
    }

    /// The Deployment first: a revision exists while it does. If this ends in between, what is
    /// missing is seen as drift and mended, or the revision is retired; what is made first would
    /// stay behind unseen.
    async fn ensure(&self, revision: &str, worker: &WorkerSpec, replicas: u32) -> Result<()> {
        let asking = self.asking(revision)?;
        let blueprint = self.blueprint_of(&asking);
        let name = blueprint.revision_name(revision);
        if let Some(found) = self.own::<Deployment>(&name).await? {
            let state = match found.metadata.deletion_timestamp {
                Some(_) => "is still being deleted",
                None => "exists",
            };
            return Err(stale(format!("revision {revision} {state}")));
        }
        let parts = self.parts(&name).await?;
        let new = deployment(&blueprint, revision, worker, replicas);
        self.cluster.create(&new).await?;
        self.put_parts(revision, &parts).await?;
        // What it found stands in the status by now. Left to its time limit, its end would be a
        // change of a model that is at rest.
        self.remove::<Job>(&name).await
    }

    async fn scale(&self, revision: &str, from: u32, to: u32) -> Result<()> {
        let found = self.existing(revision).await?;
        let now = desired(&found);
        if now != from {
            let message = format!("revision {revision} is asked for {now} replicas, not {from}");
            return Err(stale(message));
        }
        self.cluster.set_replicas(&found, to).await
    }

    async fn mend(&self, revision: &str, worker: &WorkerSpec) -> Result<()> {
        let asking = self.asking(revision)?;
        let blueprint = self.blueprint_of(&asking);
        let found = self.existing(revision).await?;
        let whole = deployment(&blueprint, revision, worker, desired(&found));
        self.put(whole, Some(&found)).await?;
        let parts = self.parts(&blueprint.revision_name(revision)).await?;
        self.put_parts(revision, &parts).await?;
        let Some(stable) = self.own::<Service>(blueprint.name()).await? else {
            return Ok(());
        };
        let weights = weights_of(&stable);
        if weights.get(revision).is_some_and(|weight| *weight > 0) {
            self.put(stable_service(&blueprint, &weights), Some(&stable))
                .await?;
        }
        Ok(())
    }

    async fn set_traffic(&self, from: &Weights, to: &Weights) -> Result<()> {
        let blueprint = self.blueprint();
        let found = self.own::<Service>(blueprint.name()).await?;
        let now = found.as_ref().map(weights_of).unwrap_or_default();
        if now != *from {
            return Err(stale("the traffic has changed".to_owned()));
        }
        self.put(stable_service(&blueprint, to), found.as_ref())
            .await
    }

    /// The Deployment last, for the same reason as it is made first.
    async fn retire(&self, revision: &str) -> Result<()> {
        let found = self.existing(revision).await?;
        let blueprint = self.blueprint();
        let stable = self.own::<Service>(blueprint.name()).await?;
        let weights = stable.as_ref().map(weights_of).unwrap_or_default();
        if weights.get(revision).is_some_and(|weight| *weight > 0) {
            return Err(stale(format!("revision {revision} has traffic")));
        }
        let name = blueprint.revision_name(revision);
        self.remove::<Job>(&name).await?;
        self.remove::<Service>(&name).await?;
        self.remove::<PodDisruptionBudget>(&name).await?;
        self.cluster.delete(&found).await
    }

    /// The object of this name if there is one, which must then be the model's.
    pub(super) async fn own<K: Kind>(&self, name: &str) -> Result<Option<K>> {
        let found = self.cluster.find::<K>(name).await?;
        if let Some(found) = &found {
            self.owner.claim(K::kind(&()), found.meta())?;
        }
        Ok(found)
    }

    async fn parts(&self, name: &str) -> Result<Parts> {
        Ok(Parts {
            headless: self.own(name).await?,
            budget: self.own(name).await?,
        })
    }

    async fn put_parts(&self, revision: &str, parts: &Parts) -> Result<()> {
        let blueprint = self.blueprint();
        let headless = headless_service(&blueprint, revision);
        self.put(headless, parts.headless.as_ref()).await?;
        let budget = disruption_budget(&blueprint, revision);
        self.put(budget, parts.budget.as_ref()).await
    }

    /// Deletes the model's object of this name if there is one.
    async fn remove<K: Kind>(&self, name: &str) -> Result<()> {
        match self.own::<K>(name).await? {
            Some(found) => self.cluster.delete(&found).await,
            None => Ok(()),
        }
    }

    /// The Deployment of a revision that must exist.
    async fn existing(&self, revision: &str) -> Result<Deployment> {
        let name = self.blueprint().revision_name(revision);
        let found = self.own::<Deployment>(&name).await?;
        found
            .filter(|found| found.metadata.deletion_timestamp.is_none())
            .ok_or_else(|| stale(format!("revision {revision} is gone")))
    }

    /// Applies an object over what was found, if it is still that.
    async fn put<K: Kind>(&self, mut object: K, found: Option<&K>) -> Result<()> {
        if let Some(found) = found.map(K::meta) {
            let meta = object.meta_mut();
            meta.uid.clone_from(&found.uid);
            meta.resource_version.clone_from(&found.resource_version);
        }
        self.cluster.apply(&object).await?;
        Ok(())
    }
}

pub(super) fn stale(message: String) -> WorldError {
    WorldError::Conflict(message)
}
