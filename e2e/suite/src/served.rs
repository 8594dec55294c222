//! A model that serves while something befalls it.

use anyhow::Result;
use chandler_crds::ModelDeployment;

use crate::{EMBEDDINGS, Gateway, Load, Space, eventually};

/// Callers at once while something happens.
const CALLERS: usize = 2;

/// A model that serves, and its door.
#[derive(Debug)]
pub struct Served {
    /// Where it is.
    pub space: Space,
    /// How callers reach it.
    pub gateway: Gateway,
    replicas: u32,
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
            replicas,
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
        let (model, replicas) = (self.model(), self.replicas);
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {model}}}, replicas: {replicas}, \
             server: {{drainSeconds: 2, maxQueue: {queue}}}}}"
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

    /// Callers that ask until they are stopped.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::start(&self.gateway, self.model(), CALLERS)
    }
}
