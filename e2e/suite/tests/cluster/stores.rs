//! Models from a bucket and from a registry, with the Secrets that a user would write for them.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::names::{credentials, env};
use chandler_e2e::stores::shared;
use chandler_e2e_suite::{Space, eventually, in_space, is};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

/// Name of the Secret that each model names.
const SECRET: &str = "store";
const DOCKER_CONFIG: &str = "kubernetes.io/dockerconfigjson";

fn bucket() -> String {
    format!("s3://{}", shared::FOLDER)
}

fn artifact(tag: &str) -> Result<String> {
    Ok(format!("oci://{}/{}:{tag}", registry()?, shared::ARTIFACT))
}

fn registry() -> Result<String> {
    let told = std::env::var(shared::REGISTRY);
    told.with_context(|| {
        format!(
            "no {}: run the tests by `cargo xtask e2e`",
            shared::REGISTRY
        )
    })
}

/// Applies a model of a store, called `m`, with the Secret's name; served as the namespace.
async fn apply(space: &Space, source: &str) -> Result<ModelDeployment> {
    let served = &space.name;
    let spec = format!(
        "{{model: {{source: '{source}', servedName: {served}, \
         credentialsSecretRef: {{name: {SECRET}}}}}, server: {{drainSeconds: 1}}}}"
    );
    space.apply_model("m", &spec).await
}

/// Keys to the bucket.
async fn apply_keys(space: &Space, secret_key: &str) -> Result<Secret> {
    let (name, _) = shared::KEY;
    let content = [
        (env::AWS_ACCESS_KEY, name),
        (env::AWS_SECRET_KEY, secret_key),
    ];
    space.apply_secret(SECRET, "Opaque", content).await
}

/// A login to the registry, as `kubectl create secret docker-registry` makes it.
async fn apply_login(space: &Space, password: &str) -> Result<Secret> {
    let login = json!({"username": shared::USER.0, "password": password});
    let config = json!({"auths": {registry()?: login}}).to_string();
    let content = [(credentials::DOCKER_CONFIG, &*config)];
    space.apply_secret(SECRET, DOCKER_CONFIG, content).await
}

/// The model answers, and its files are locked; gives the lock's commit.
async fn serves(space: &Space) -> Result<Option<String>> {
    let model = space.wait_ready("m").await?;
    let revision = model.status.as_ref().and_then(|it| it.revisions.first());
    let lock = revision.and_then(|it| it.lock.as_ref());
    let lock = lock.context("nothing is locked")?;
    let is_whole = |path| lock.files.iter().any(|file| file.path == path);
    ensure!(is_whole("model.safetensors") && is_whole("tokenizer.json"));
    let gateway = space.gateway().await?;
    let embedding = eventually("answered", async || gateway.embed(&space.name).await.ok()).await?;
    ensure!(
        embedding.numbers.len() == 384,
        "an embedding of {} numbers",
        embedding.numbers.len()
    );
    Ok(lock.commit.clone())
}

/// The store's refusal is told with what to do and without `secret`.
async fn refused(space: &Space, words: &[&str], secret: &str) -> Result<()> {
    let kind = ConditionType::ModelResolved;
    let model = space.wait_told("m", kind, "Unauthorized", words).await?;
    ensure!(
        is(&model, ConditionType::Stalled),
        "only a person can mend it"
    );
    let told = serde_json::to_string(&model.status)?;
    ensure!(!told.contains(secret), "the secret is told: {told}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_bucket_serves_whoever_has_its_key() {
    in_space("bucket", async |space| {
        apply_keys(&space, "another-key").await?;
        apply(&space, &bucket()).await?;
        let words = [&*bucket(), env::AWS_ACCESS_KEY, env::AWS_SECRET_KEY];
        refused(&space, &words, "another-key").await?;
        // The mend is outside of the spec, so it is found when the store is asked again.
        apply_keys(&space, shared::KEY.1).await?;
        let commit = serves(&space).await?;
        ensure!(commit.is_none(), "a bucket has no commit {commit:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_registry_serves_whoever_may_log_in() {
    in_space("registry", async |space| {
        apply_login(&space, "another-word").await?;
        let source = artifact(shared::TAG)?;
        apply(&space, &source).await?;
        let words = [&*source, credentials::DOCKER_CONFIG];
        refused(&space, &words, "another-word").await?;
        apply_login(&space, shared::USER.1).await?;
        let commit = serves(&space).await?.context("no manifest is locked")?;
        ensure!(commit.starts_with("sha256:"), "{commit}");
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_tag_that_the_registry_does_not_have() {
    in_space("notag", async |space| {
        apply_login(&space, shared::USER.1).await?;
        let source = artifact("v9")?;
        apply(&space, &source).await?;
        let words = [&*source, "was not found"];
        let kind = ConditionType::ModelResolved;
        let model = space.wait_told("m", kind, "NotFound", &words).await?;
        ensure!(
            is(&model, ConditionType::Stalled),
            "only a person can mend it"
        );
        apply(&space, &artifact(shared::TAG)?).await?;
        space.wait_ready("m").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_secret_that_is_missing_is_named_and_waited_for() {
    in_space("nosecret", async |space| {
        apply(&space, &bucket()).await?;
        let words = ["Secret `store`", "create"];
        let kind = ConditionType::ModelResolved;
        let told = space.wait_told("m", kind, "WaitingForVolumes", &words);
        let model = told.await?;
        ensure!(!is(&model, ConditionType::Stalled), "it may yet come");
        ensure!(is(&model, ConditionType::Reconciling));
        apply_keys(&space, shared::KEY.1).await?;
        serves(&space).await.map(drop)
    })
    .await;
}
