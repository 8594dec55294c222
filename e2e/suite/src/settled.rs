//! What a cluster holds of a model in the end, beside what its status claims.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::names::{annotations, containers, labels};
use chandler_crds::status::{RevisionPhase, RolloutPhase};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::{Space, ready, replicas};

/// What a model is asked to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The object's name.
    pub(crate) name: &'static str,
    pub(crate) replicas: u32,
    /// Sets this spec's revision apart from those before.
    pub(crate) queue: u32,
}

/// The model is as the spec says. Pods of before may still be on their way out.
///
/// # Errors
/// What is otherwise.
pub(crate) async fn check(space: &Space, wanted: Wanted) -> Result<()> {
    let model = space.models().get(wanted.name).await?;
    let revision = revision_told(&model, wanted)?;
    let name = format!("{}-{revision}", wanted.name);
    let own = [name.as_str()];
    ensure_names::<Deployment>(space, &own).await?;
    ensure_names::<PodDisruptionBudget>(space, &own).await?;
    ensure_names::<Service>(space, &[wanted.name, &name]).await?;
    // The one that resolved this revision goes with time.
    let jobs = names::<Job>(space).await?;
    ensure!(jobs.iter().all(|job| *job == name), "Jobs are {jobs:?}");
    check_deployment(&space.api().get(&name).await?, wanted)?;
    check_traffic(&space.api().get(wanted.name).await?, &revision)?;
    check_pods(space, &revision, wanted.replicas).await
}

/// Nothing is on its way out any more.
///
/// # Errors
/// What is.
pub(crate) async fn check_gone(space: &Space) -> Result<()> {
    let pods = replicas(space).await?;
    let going: Vec<String> = pods
        .iter()
        .filter(|it| goes(it))
        .map(ResourceExt::name_any)
        .collect();
    ensure!(going.is_empty(), "these pods still go: {going:?}");
    Ok(())
}

fn goes(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The one revision that status tells of.
fn revision_told(model: &ModelDeployment, wanted: Wanted) -> Result<String> {
    let status = model.status.as_ref().context("no status")?;
    ensure!(ready(model), "its conditions are {:#?}", status.conditions);
    // Those before are told of, though nothing of them is left.
    let there = status.revisions.iter().filter(|it| !is_past(it.phase));
    let there: Vec<_> = there.collect();
    let [revision] = there.as_slice() else {
        bail!("its revisions are {:#?}", status.revisions);
    };
    let count = i32::try_from(wanted.replicas)?;
    let told = [status.replicas, status.ready_replicas];
    ensure!(told == [Some(count); 2], "its replicas are {told:?}");
    let told = (revision.weight, revision.replicas, revision.ready_replicas);
    ensure!(told == (100, count, count), "its revision is {revision:?}");
    // Traffic is told of a moment before its rollout is over.
    let rollout = status.rollout.as_ref();
    let is_over = rollout.is_some_and(|it| it.phase == RolloutPhase::Completed);
    ensure!(is_over, "its rollout is {rollout:?}");
    let current = status.current_revision.as_ref();
    ensure!(current == Some(&revision.name), "it tells of {current:?}");
    Ok(revision.name.clone())
}

fn is_past(phase: RevisionPhase) -> bool {
    matches!(phase, RevisionPhase::Retired | RevisionPhase::Failed)
}

async fn names<K>(space: &Space) -> Result<Vec<String>>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let found = space.api::<K>().list(&ListParams::default()).await?;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}

async fn ensure_names<K>(space: &Space, wanted: &[&str]) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let found = names::<K>(space).await?;
    ensure!(found == wanted, "{} are {found:?}", K::plural(&()));
    Ok(())
}

fn check_deployment(deployment: &Deployment, wanted: Wanted) -> Result<()> {
    let count = Some(i32::try_from(wanted.replicas)?);
    let spec = &deployment.spec;
    let ready = deployment.status.as_ref().and_then(|it| it.ready_replicas);
    let counts = [spec.replicas, ready];
    ensure!(counts == [count; 2], "the Deployment's counts {counts:?}");
    let pod = spec.template.spec.as_ref().context("no pod")?;
    let server = pod
        .containers
        .iter()
        .find(|it| it.name == containers::SERVER);
    let args = server.and_then(|it| it.args.clone()).unwrap_or_default();
    let queue = ["--max-queue".to_owned(), wanted.queue.to_string()];
    ensure!(
        args.windows(2).any(|pair| pair == queue),
        "the Deployment is of another spec: {args:?}"
    );
    Ok(())
}

fn check_traffic(stable: &Service, revision: &str) -> Result<()> {
    let all = BTreeMap::from([(revision.to_owned(), 100)]);
    let weights = stable.annotations().get(annotations::WEIGHTS);
    let weights = weights.context("no weights")?;
    let told: BTreeMap<String, u32> = serde_json::from_str(weights)?;
    ensure!(told == all, "the weights are {weights}");
    let selector = stable.spec.as_ref().and_then(|it| it.selector.as_ref());
    let behind = selector.and_then(|it| it.get(labels::REVISION));
    ensure!(
        behind.is_some_and(|it| it == revision),
        "behind the Service is {behind:?}"
    );
    Ok(())
}

async fn check_pods(space: &Space, revision: &str, count: u32) -> Result<()> {
    let pods = replicas(space).await?;
    let stay = pods.iter().filter(|pod| !goes(pod));
    let told: Vec<&str> = stay
        .filter_map(|pod| pod.labels().get(labels::REVISION))
        .map(String::as_str)
        .collect();
    let wanted = vec![revision; usize::try_from(count)?];
    ensure!(told == wanted, "the pods are of the revisions {told:?}");
    Ok(())
}
