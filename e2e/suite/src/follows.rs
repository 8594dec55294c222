//! A model whose count of replicas follows its load.

use anyhow::{Context, Result, ensure};
use chandler_crds::conditions::ConditionType;
use chandler_crds::names::labels;
use chandler_crds::status::ScalingStatus;
use chandler_crds::{ModelDeployment, ModelDeploymentSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::gateway::TEXT;
use crate::{EMBEDDINGS, Gateway, Load, Space, condition, eventually, replicas, until};

/// So often the usual text is a long one, of about 150 tokens.
const TIMES: usize = 20;

/// A model that follows its load, and its door.
#[derive(Debug)]
pub struct Follows {
    space: Space,
    gateway: Gateway,
    name: &'static str,
    served: String,
}

impl Follows {
    /// Callers who ask again as soon as they are answered, more than [`Follows::UP_TO_TWO`] gives
    /// to one replica.
    pub const MANY: usize = 8;
    /// One replica or two, in the tests' haste.
    pub const UP_TO_TWO: &'static str = "{maxReplicas: 2, targets: {concurrency: 2}, \
                                         behavior: {scaleDown: {stabilization: 10s}}}";

    /// Applies a model of the tests' small embeddings with this `autoscaling`, and waits until
    /// callers reach it.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn new(space: &Space, name: &'static str, autoscaling: &str) -> Result<Self> {
        let model = Self {
            space: space.clone(),
            gateway: space.gateway().await?,
            name,
            served: format!("{}-{name}", space.name),
        };
        model.change(autoscaling).await?;
        space.wait_ready(name).await?;
        let known = async || model.gateway.embed(&model.served).await.ok();
        eventually("known to the gateways", known).await?;
        Ok(model)
    }

    /// Applies it with other bounds or targets, which is the same revision.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn change(&self, autoscaling: &str) -> Result<ModelDeployment> {
        let served = &self.served;
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, \
             server: {{drainSeconds: 5}}, autoscaling: {autoscaling}}}"
        );
        let spec: ModelDeploymentSpec = serde_yaml::from_str(&spec)?;
        let model = ModelDeployment::new(self.name, spec);
        self.space.apply(&model).await
    }

    /// Callers that ask until they are stopped.
    #[must_use]
    pub fn load(&self, callers: usize) -> Load {
        // Long enough that a replica, not its callers' thinking, is what takes the time.
        let text = [TEXT; TIMES].join(" ");
        Load::start_with(&self.gateway, &self.served, callers, &text)
    }

    /// The object as it is.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn get(&self) -> Result<ModelDeployment> {
        Ok(self.space.models().get(self.name).await?)
    }

    /// The pods that serve it, or shall.
    ///
    /// # Errors
    /// They can't be listed.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let all = replicas(&self.space).await?.into_iter();
        let own =
            |pod: &Pod| pod.labels().get(labels::MODEL).map(String::as_str) == Some(self.name);
        Ok(all.filter(own).collect())
    }

    /// Waits until it is as `holds` says.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn until(
        &self,
        what: &str,
        holds: impl Fn(&ModelDeployment) -> bool,
    ) -> Result<ModelDeployment> {
        until(&self.space.models(), self.name, what, holds).await
    }

    /// Waits until it has so many replicas and all of them are ready.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_count(&self, replicas: i32) -> Result<ModelDeployment> {
        let what = format!("of {replicas} replicas");
        self.until(&what, |model| ready_count(model) == Some(replicas))
            .await
    }

    /// Waits until it is told that the count follows the load.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_follows(&self) -> Result<ModelDeployment> {
        self.told("Following", "True", "follows the load").await
    }

    /// Waits until it is told that the load is not known, with these words.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_blind(&self, words: &str) -> Result<ModelDeployment> {
        self.told("LoadUnknown", "False", words).await
    }

    async fn told(&self, reason: &str, truth: &str, words: &str) -> Result<ModelDeployment> {
        let kind = ConditionType::ScalingActive;
        let words = [words];
        let model = self
            .space
            .wait_told(self.name, kind, reason, &words)
            .await?;
        let status = condition(&model, kind).map(|it| it.status.as_str());
        ensure!(status == Some(truth), "{reason} is {status:?}");
        Ok(model)
    }
}

/// How many replicas a model has, if all of them are ready.
#[must_use]
pub fn ready_count(model: &ModelDeployment) -> Option<i32> {
    let status = model.status.as_ref()?;
    status
        .replicas
        .filter(|_| status.replicas == status.ready_replicas)
}

/// What is told of how the count moved.
///
/// # Errors
/// Nothing is.
pub fn scaling(model: &ModelDeployment) -> Result<&ScalingStatus> {
    let scaling = model.status.as_ref().and_then(|it| it.scaling.as_ref());
    scaling.context("nothing is told of scaling")
}

/// The changes of a model's count, from and to.
///
/// # Errors
/// One has no reason.
pub fn decisions(model: &ModelDeployment) -> Result<Vec<(i32, i32)>> {
    let decisions = &scaling(model)?.decisions;
    let unclear = decisions.iter().find(|it| it.why.is_empty());
    ensure!(unclear.is_none(), "no reason is told: {unclear:?}");
    Ok(decisions.iter().map(|it| (it.from, it.to)).collect())
}
