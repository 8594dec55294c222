//! Newer definitions of the resource, by helm and by kustomize. Models go on as if nothing were.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use chandler_crds::{ModelDeployment, ModelDeploymentSpec};
use chandler_e2e::layout;
use chandler_e2e_suite::{
    EMBEDDINGS, RELEASE, Served, Space, alone_in_space, eventually, helm, kubectl,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::api::{Patch, PatchParams};
use tempfile::TempDir;

const CRD: &str = "modeldeployments.chandler.dev";
const CHART: &str = "charts/chandler";
const KUSTOMIZATION: &str = "config/crd";
/// What the older definition doesn't know of `spec.server`.
const NEW_FIELD: &str = "maxBatch";
/// Requests that are answered before an upgrade, and again after it.
const SOME: usize = 10;

/// A copy of an installation's folder with a definition of before in it, which lies in `below`.
fn older(folder: &str, below: &str) -> Result<TempDir> {
    let copy = TempDir::new()?;
    let copied = Command::new("cp")
        .args(["-r", &format!("{folder}/."), &text(copy.path())?])
        .current_dir(layout::root())
        .status()?;
    ensure!(copied.success(), "{folder} can't be copied");
    let path = copy.path().join(below).join(format!("{CRD}.yaml"));
    let mut crd: CustomResourceDefinition = serde_yaml::from_slice(&std::fs::read(&path)?)?;
    let version = crd.spec.versions.first_mut().context("a version")?;
    let schema = version.schema.as_mut().context("a schema")?;
    let root = schema.open_api_v3_schema.as_mut().context("a schema")?;
    let server = field(field(root, "spec")?, "server")?;
    server.description = Some("What it said before.".to_owned());
    let fields = server.properties.as_mut().context("fields of the server")?;
    fields.remove(NEW_FIELD).context("the field")?;
    std::fs::write(&path, serde_yaml::to_string(&crd)?)?;
    Ok(copy)
}

fn field<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Result<&'a mut JSONSchemaProps> {
    let fields = schema.properties.as_mut();
    let found = fields.and_then(|fields| fields.get_mut(name));
    found.with_context(|| format!("no field {name}"))
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// Upgrades the release to the chart of a folder, with the values that it has.
fn helm_upgrade(chart: &Path) -> Result<()> {
    let chart = text(chart)?;
    let arguments = ["upgrade", RELEASE, &chart, "--reuse-values", "--wait"];
    helm(&arguments).map(drop)
}

fn kubectl_apply(kustomization: &Path) -> Result<()> {
    let folder = text(kustomization)?;
    kubectl(&["apply", "--server-side", "--kustomize", &folder]).map(drop)
}

/// Whether the API server takes the new field. Nothing is written.
async fn is_known(space: &Space) -> Option<bool> {
    let spec = format!("{{model: {{source: {EMBEDDINGS}}}, server: {{{NEW_FIELD}: 3}}}}");
    let spec: ModelDeploymentSpec = serde_yaml::from_str(&spec).ok()?;
    let asked = ModelDeployment::new("asked", spec);
    let how = PatchParams::apply("e2e").dry_run().validation_strict();
    let patch = Patch::Apply(&asked);
    match space.models().patch("asked", &how, &patch).await {
        Ok(taken) => Some(taken.spec.server?.max_batch == Some(3)),
        Err(error) if error.to_string().contains(NEW_FIELD) => Some(false),
        Err(_) => None,
    }
}

async fn wait_known(space: &Space, known: bool) -> Result<()> {
    let what = if known { "known" } else { "unknown" };
    let told = async || is_known(space).await.filter(|it| *it == known).map(drop);
    eventually(&format!("{NEW_FIELD} {what}"), told).await
}

/// With an older definition in place: `upgrade` brings the present one, and a model that serves
/// does so all the while, unchanged.
async fn upgrades(space: &Space, upgrade: impl FnOnce() -> Result<()>) -> Result<()> {
    wait_known(space, false).await?;
    let served = Served::new(space, 1).await?;
    served.wait_settled().await?;
    let before = space.models().get(Served::NAME).await?;
    let load = served.load();
    load.wait_answers(SOME).await?;
    upgrade()?;
    wait_known(space, true).await?;
    load.wait_answers(SOME).await?;
    served.wait_settled().await?;
    let after = space.models().get(Served::NAME).await?;
    let object = |model: &ModelDeployment| {
        let metadata = &model.metadata;
        (metadata.uid.clone(), metadata.generation)
    };
    ensure!(object(&before) == object(&after), "it is another object");
    ensure!(before.spec == after.spec, "its spec is {:?}", after.spec);
    let status = &after.status;
    let told = |status| serde_yaml::to_string(status);
    let (before, after) = (told(&before.status)?, told(status)?);
    ensure!(before == after, "its status was\n{before}and is\n{after}");
    let tally = load.stop().await;
    tally.assert_all_answered();
    ensure!(tally.revisions.len() == 1, "{:?}", tally.revisions);
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn helm_upgrades_the_definition() {
    alone_in_space("crdhelm", async |space| {
        let older = older(CHART, "files/crds")?;
        helm_upgrade(older.path())?;
        upgrades(&space, || helm_upgrade(&layout::root().join(CHART))).await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn kustomize_upgrades_the_definition() {
    alone_in_space("crdkustom", async |space| {
        let older = older(KUSTOMIZATION, ".")?;
        let newer = layout::root().join(KUSTOMIZATION);
        let outcome = async {
            // What helm wrote would be helm's for good, so it begins from nothing. Every model of
            // the cluster goes with the definition; the other tests have none at this time.
            kubectl(&["delete", "customresourcedefinition", CRD])?;
            kubectl_apply(older.path())?;
            upgrades(&space, || kubectl_apply(&newer)).await
        };
        let outcome = outcome.await;
        // Whatever came of it: the other tests need the definition as helm keeps it.
        helm_upgrade(&layout::root().join(CHART))?;
        outcome
    })
    .await;
}
