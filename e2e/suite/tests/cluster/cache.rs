//! What a node or a claim keeps of the models that replicas have fetched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use chandler_crds::conditions::ConditionType;
use chandler_crds::names::{containers, labels, mounts};
use chandler_crds::report::Report;
use chandler_e2e::layout;
use chandler_e2e_suite::{
    Claim, EMBEDDINGS, RELEASE, Space, alone_in_space, eventually, helm, in_space, is, kubectl,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use tempfile::tempdir_in;

/// Below the repository's root.
const CHART: &str = "charts/chandler";

/// Lets pods of a namespace mount folders of their node.
fn permit_folders(space: &Space) -> Result<()> {
    let level = "pod-security.kubernetes.io/enforce=privileged";
    kubectl(&["label", "namespace", &space.name, level, "--overwrite"]).map(drop)
}

/// Upgrades the installation to a cache in this folder, made by it or not.
fn set_cache(folder: &str, made: bool) -> Result<()> {
    let chart = layout::root().join(CHART);
    let chart = chart.to_str().context("a path that is text")?;
    let settings = format!("nodeCache.folder={folder},nodeCache.enabled={made}");
    helm(&[
        "upgrade",
        RELEASE,
        chart,
        "--reuse-values",
        "--wait",
        "--set",
        &settings,
    ])?;
    if !made {
        let namespace = format!("namespace/{RELEASE}-node-cache");
        kubectl(&["wait", "--for=delete", &namespace, "--timeout=300s"])?;
    }
    Ok(())
}

/// The name of any one node.
async fn a_node(space: &Space) -> Result<String> {
    let nodes: Api<Node> = Api::all(space.client.clone());
    let first = nodes
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .next();
    first
        .and_then(|node| node.metadata.name)
        .context("the cluster has a node")
}

/// What the replica of a model told when it had fetched.
async fn fetched(space: &Space, model: &str) -> Result<Report> {
    let selector = format!(
        "{}={model},{}={}",
        labels::MODEL,
        labels::COMPONENT,
        labels::SERVER
    );
    let pods = space
        .api::<Pod>()
        .list(&ListParams::default().labels(&selector))
        .await?;
    let mut pods = pods.items.into_iter().filter_map(|pod| pod.status);
    let statuses = pods
        .next()
        .and_then(|status| status.init_container_statuses);
    let fetch = statuses
        .into_iter()
        .flatten()
        .find(|it| it.name == containers::FETCH);
    let end = fetch.and_then(|it| it.state).and_then(|it| it.terminated);
    let message = end
        .and_then(|end| end.message)
        .context("the fetch has ended")?;
    Report::parse(&message).context(message)
}

/// Files were wanted, and no store sent any of them.
fn had_them_already(told: &Report) -> Result<()> {
    ensure!(
        matches!(told, Report::Fetched { bytes, received: 0, .. } if *bytes > 0),
        "they were fetched again: {told:?}"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_fetches_a_file_once_for_all_its_models() {
    alone_in_space("nodecache", async |space| {
        permit_folders(&space)?;
        let (node, gateway) = (a_node(&space).await?, space.gateway().await?);
        for name in ["first", "second"] {
            let served = format!("{}-{name}", space.name);
            let spec = format!(
                "{{model: {{source: {EMBEDDINGS}, servedName: {served}, cache: {{kind: node}}}}, \
                 server: {{nodeSelector: {{{}: {node}}}}}}}",
                labels::HOSTNAME
            );
            space.apply_model(name, &spec).await?;
            space.wait_ready(name).await?;
            eventually("answered", async || gateway.embed(&served).await.ok()).await?;
        }
        had_them_already(&fetched(&space, "second").await?)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_claim_keeps_what_was_fetched() {
    in_space("claimcache", async |space| {
        let folder = tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        // A folder of the machine keeps its owner, whatever user a pod's volumes are for.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
        let claim = Claim::new(&space, "cache", folder.path(), "ReadWriteMany").await?;
        let cache = "cache: {kind: persistentVolumeClaim, claimName: cache}";
        for name in ["first", "second"] {
            let served = format!("{}-{name}", space.name);
            let spec =
                format!("{{model: {{source: {EMBEDDINGS}, servedName: {served}, {cache}}}}}");
            space.apply_model(name, &spec).await?;
            space.wait_ready(name).await?;
        }
        had_them_already(&fetched(&space, "second").await?)?;
        claim.remove().await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_restricted_namespace_refuses_a_folder_of_the_node() {
    in_space("nonodecache", async |space| {
        let spec = format!("{{model: {{source: {EMBEDDINGS}, cache: {{kind: node}}}}}}");
        space.apply_model("m", &spec).await?;
        let words = ["cache.kind `node`", "write `emptyDir`"];
        space
            .wait_told("m", ConditionType::Ready, "PodSecurityRefused", &words)
            .await?;
        Ok(())
    })
    .await;
}

/// A model of the tests with a cache on a node waits for it, and serves once it is there.
async fn waits_for(space: &Space, folder: &str) -> Result<()> {
    permit_folders(space)?;
    set_cache(folder, false)?;
    let spec = format!("{{model: {{source: {EMBEDDINGS}, cache: {{kind: node}}}}}}");
    space.apply_model("m", &spec).await?;
    let words = [folder, "nodeCache.enabled"];
    let model = space
        .wait_told("m", ConditionType::Ready, "WaitingForVolumes", &words)
        .await?;
    ensure!(!is(&model, ConditionType::Stalled), "it may yet come");
    set_cache(folder, true)?;
    space.wait_ready("m").await.map(drop)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_node_without_the_folder_is_named_until_it_has_it() {
    alone_in_space("nofolder", async |space| {
        let folder = format!("{}-{}", mounts::NODE_CACHE, space.name);
        let waited = waits_for(&space, &folder).await;
        set_cache(mounts::NODE_CACHE, true)?;
        waited
    })
    .await;
}
