//! A model that serves while something befalls it.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use chandler_crds::ModelDeployment;

use crate::settled::{self, Wanted};
use crate::{EMBEDDINGS, Gateway, Load, Space, eventually, holds};

/// Callers at once while something happens.
const CALLERS: usize = 2;

/// A model that serves, and its door.
#[derive(Debug)]
pub struct Served {
    /// Where it is.
    pub space: Space,
    /// How callers reach it.
    pub gateway: Gateway,
    replicas: AtomicU32,
    queue: AtomicU32,
}

impl Served {
    /// The object's name.
    pub const NAME: &'static str = "m";

    /// Applies a model of the tests' small embeddings and waits until callers reach it.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn new(space: &Space, replicas: u32) -> Result<Self> {
        let served = Self {
            space: space.clone(),
            gateway: space.gateway().await?,
            replicas: replicas.into(),
            queue: 0.into(),
        };
        served.change(100).await?;
        served.wait_ready().await?;
        let known = async || served.gateway.embed(served.model()).await.ok();
        eventually("known to the gateways", known).await?;
        Ok(served)
    }

    /// The name that callers give.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.space.name
    }

    /// Applies the model with another queue, which is another revision.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn change(&self, queue: u32) -> Result<ModelDeployment> {
        self.change_by(queue, "").await
    }

    /// The same with a rollout of one's own, as the fields of `spec.rollout`.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn change_by(&self, queue: u32, rollout: &str) -> Result<ModelDeployment> {
        self.queue.store(queue, Ordering::Relaxed);
        let (model, replicas) = (self.model(), self.wanted().replicas);
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {model}}}, replicas: {replicas}, \
             server: {{drainSeconds: 2, maxQueue: {queue}}}, rollout: {{{rollout}}}}}"
        );
        self.space.apply_model(Self::NAME, &spec).await
    }

    /// Waits until all is as the spec says.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_ready(&self) -> Result<ModelDeployment> {
        self.space.wait_ready(Self::NAME).await
    }

    /// Scales it as `kubectl scale` does.
    ///
    /// # Errors
    /// What the API server refuses.
    pub fn scale(&self, replicas: u32) -> Result<()> {
        self.replicas.store(replicas, Ordering::Relaxed);
        self.space.scale(Self::NAME, replicas)
    }

    /// Waits until the cluster holds what the spec asks for, and of before at most pods that have
    /// been told to stop.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_current(&self) -> Result<()> {
        let current = async || settled::check(&self.space, self.wanted()).await;
        holds("as the spec says", current).await
    }

    /// Waits until the cluster holds what the spec asks for, and nothing of before.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_settled(&self) -> Result<()> {
        let settled = async || {
            settled::check(&self.space, self.wanted()).await?;
            settled::check_gone(&self.space).await
        };
        holds("as the spec says with nothing of before", settled).await
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            name: Self::NAME,
            replicas: self.replicas.load(Ordering::Relaxed),
            queue: self.queue.load(Ordering::Relaxed),
        }
    }

    /// Callers that ask until they are stopped.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::start(&self.gateway, self.model(), CALLERS)
    }
}
