//! Models at rest, or with a load that changes nothing: nobody writes anything of theirs, and nobody
//! reads it beyond the watches. The API server's own counters tell.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use chandler_e2e::counters::{Counters, Labels, label};
use chandler_e2e_suite::{EMBEDDINGS, Load, Space, alone_in_space, eventually, kubectl};

const MODELS: usize = 5;
/// Nothing is waited for in it: it is what is measured. A turn that asks for another one after a
/// while does so several times in it, at the pace of any of the operator's backoffs.
const WINDOW: Duration = Duration::from_secs(30);
/// A start is over when nothing was asked for so long.
const CALM: Duration = Duration::from_secs(5);
const COUNTER: &str = "apiserver_request_total";
/// All that a model consists of, and what is told of it.
const RESOURCES: &[&str] = &[
    "modeldeployments",
    "deployments",
    "replicasets",
    "services",
    "endpointslices",
    "jobs",
    "poddisruptionbudgets",
    "pods",
    "events",
];

/// Requests by verb and object.
type Asked = BTreeMap<String, u64>;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn models_at_rest_are_neither_written_nor_read() {
    alone_in_space("quiet", async |space| {
        space.wait_alone().await?;
        for number in 0..MODELS {
            apply(&space, number).await?;
        }
        for number in 0..MODELS {
            space.wait_ready(&name(number)).await?;
        }
        nobody_asks().await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_model_at_work_is_neither_written_nor_read_while_its_load_is_steady() {
    alone_in_space("busy", async |space| {
        space.wait_alone().await?;
        let served = space.name.clone();
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, \
             autoscaling: {{maxReplicas: 2, targets: {{concurrency: 8}}}}, \
             server: {{drainSeconds: 1}}}}"
        );
        space.apply_model("m", &spec).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;
        let load = Load::start(&gateway, &served, 1);
        nobody_asks().await?;
        load.wait_answers(1).await?;
        load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

/// Waits until it is calm, and finds that it stays so.
async fn nobody_asks() -> Result<()> {
    eventually("calm", async || {
        let asked = asked_in(CALM).await.ok()?;
        asked.is_empty().then_some(())
    })
    .await?;
    let asked = asked_in(WINDOW).await?;
    ensure!(asked.is_empty(), "asked of the API server: {asked:#?}");
    Ok(())
}

fn name(number: usize) -> String {
    format!("m-{number}")
}

async fn apply(space: &Space, number: usize) -> Result<()> {
    let (model, served) = (name(number), &space.name);
    let spec = format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}-{number}}}, \
         server: {{drainSeconds: 1}}}}"
    );
    space.apply_model(&model, &spec).await.map(drop)
}

/// What anybody asks of the API server in a stretch of time, of what models consist of. Watches
/// are open all the time, and opened again every few minutes.
async fn asked_in(window: Duration) -> Result<Asked> {
    let before = counters()?;
    tokio::time::sleep(window).await;
    let gone = counters()?.since(&before)?;
    let mut asked = Asked::new();
    for (labels, count) in gone.of(COUNTER) {
        let (verb, resource) = (label(labels, "verb"), label(labels, "resource"));
        if RESOURCES.contains(&resource) && verb != "WATCH" && !its_own(verb, resource, count) {
            *asked.entry(shown(labels)).or_default() += count;
        }
    }
    Ok(asked)
}

/// Whether the API server itself asks so: every ten seconds it looks at the address of its own
/// Service, and every three minutes it compares all Services with the ports that they were given.
fn its_own(verb: &str, resource: &str, count: u64) -> bool {
    match (verb, resource) {
        ("GET", "endpointslices") => true,
        ("LIST", "services") => count == 1,
        _ => false,
    }
}

fn counters() -> Result<Counters> {
    Counters::parse(&kubectl(&["get", "--raw", "/metrics"])?, &[COUNTER])
}

fn shown(labels: &Labels) -> String {
    let keys = ["verb", "resource", "subresource", "dry_run", "code"];
    let values = keys.iter().filter_map(|key| labels.get(*key));
    values.map(String::as_str).collect::<Vec<_>>().join(" ")
}
