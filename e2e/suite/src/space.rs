//! A namespace of a test's own, and what is done in it.

use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use chandler_crds::conditions::ConditionType;
use chandler_crds::{ModelDeployment, ModelDeploymentSpec};
use chandler_e2e::SPACE_LABEL;
use futures::FutureExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::RwLock;

use crate::{Gateway, kubectl, tell, wait};

/// Who the tests are to the API server.
const FIELD_MANAGER: &str = "e2e";

/// A namespace in which pods must keep the *restricted* standard.
#[derive(Clone)]
pub struct Space {
    /// Speaks to the API server.
    pub client: Client,
    /// The namespace.
    pub name: String,
}

impl Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Held by each test as it runs; by those that can't share the cluster for writing.
static CLUSTER: RwLock<()> = RwLock::const_new(());

/// Runs a test in a namespace of its own, which goes with it, beside other such tests. What a failed
/// test leaves is told before it goes.
///
/// # Panics
/// When the test fails.
pub async fn in_space<F>(name: &str, test: impl FnOnce(Space) -> F)
where
    F: Future<Output = Result<()>>,
{
    let _shared = CLUSTER.read().await;
    run(name, test).await;
}

/// As [`in_space`], with no other test of the same program beside it: for one that counts what all
/// ask for, or changes what all use.
///
/// # Panics
/// When the test fails.
pub async fn alone_in_space<F>(name: &str, test: impl FnOnce(Space) -> F)
where
    F: Future<Output = Result<()>>,
{
    let _exclusive = CLUSTER.write().await;
    run(name, test).await;
}

async fn run<F>(name: &str, test: impl FnOnce(Space) -> F)
where
    F: Future<Output = Result<()>>,
{
    let began = Instant::now();
    let space = Space::new(name).await.expect("a namespace on the cluster");
    let outcome = AssertUnwindSafe(test(space.clone())).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        tell::all(&space);
    }
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    space.remove().await.expect("the namespace goes");
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{error:?}"),
        Err(panic) => resume_unwind(panic),
    }
}

impl Space {
    async fn new(test: &str) -> Result<Self> {
        let client = Client::try_default()
            .await
            .context("no cluster: run the tests by `cargo xtask e2e`")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let name = format!("{test}-{:x}", now.as_micros());
        let labels = [
            ("pod-security.kubernetes.io/enforce", "restricted"),
            (SPACE_LABEL, test),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(Self { client, name })
    }

    /// Ends its models and lets it go. Whether it goes is looked at when all tests have ended: that
    /// takes longer, and disturbs no other test.
    async fn remove(&self) -> Result<()> {
        let (all, how) = (ListParams::default(), DeleteParams::default());
        self.models().delete_collection(&how, &all).await?;
        wait::none_left(&self.api::<Pod>(), &all).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.name, &how).await?;
        Ok(())
    }

    /// Waits until the tests before have left nothing.
    ///
    /// # Errors
    /// They do not come to that.
    pub async fn wait_alone(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let of_tests = ListParams::default().labels(SPACE_LABEL);
        let alone = async || {
            let found = namespaces.list(&of_tests).await.ok()?;
            (found.items.len() == 1).then_some(())
        };
        wait::eventually("alone", alone).await
    }

    /// The objects of one kind in it.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The models in it.
    #[must_use]
    pub fn models(&self) -> Api<ModelDeployment> {
        self.api()
    }

    /// Applies an object, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn apply<K>(&self, object: &K) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let name = object.meta().name.clone().context("a name")?;
        let how = PatchParams::apply(FIELD_MANAGER).force();
        Ok(self.api().patch(&name, &how, &Patch::Apply(object)).await?)
    }

    /// Applies a model from the YAML of its spec.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn apply_model(&self, name: &str, spec: &str) -> Result<ModelDeployment> {
        let spec: ModelDeploymentSpec = serde_yaml::from_str(spec)?;
        self.apply(&ModelDeployment::new(name, spec)).await
    }

    /// Waits until a model answers at its own generation.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_ready(&self, name: &str) -> Result<ModelDeployment> {
        wait::until(&self.models(), name, "ready", wait::ready).await
    }

    /// Waits until a condition of a model has this reason and its message these words.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn wait_told(
        &self,
        name: &str,
        kind: ConditionType,
        reason: &str,
        words: &[&str],
    ) -> Result<ModelDeployment> {
        let is_told = |model: &ModelDeployment| {
            wait::condition(model, kind).is_some_and(|it| {
                it.reason == reason && words.iter().all(|word| it.message.contains(word))
            })
        };
        let what = format!("{} {reason} with {words:?}", kind.as_str());
        wait::until(&self.models(), name, &what, is_told).await
    }

    /// Scales a model as a user does.
    ///
    /// # Errors
    /// What the API server refuses.
    pub fn scale(&self, name: &str, replicas: impl Display) -> Result<()> {
        let count = format!("--replicas={replicas}");
        kubectl(&["scale", "-n", &self.name, "modeldeployment", name, &count]).map(drop)
    }

    /// Makes a Secret of a model, or changes it.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn apply_secret<const N: usize>(
        &self,
        name: &str,
        kind: &str,
        content: [(&str, &str); N],
    ) -> Result<Secret> {
        let content = content.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some(kind.to_owned()),
            string_data: Some(content.into()),
            ..Secret::default()
        };
        self.apply(&secret).await
    }

    /// The door of the installation.
    ///
    /// # Errors
    /// There is none.
    pub async fn gateway(&self) -> Result<Gateway> {
        Gateway::of(&self.client).await
    }
}
