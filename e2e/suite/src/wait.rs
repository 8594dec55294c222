//! Waiting for what shall come. An API server that is away for a while is waited for too.

use std::cell::Cell;
use std::fmt::Debug;

use anyhow::{Context, Result, bail};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, Resource};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::watch_object;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, interval, timeout};

use crate::PATIENCE;

/// Between two looks at what can't be watched.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until an object is as `holds` says; gives it.
///
/// # Errors
/// It is not within [`PATIENCE`]; the error tells how it was last.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last = None;
    let watched = async {
        let mut states = Box::pin(states(api, name));
        while let Some(state) = states.next().await {
            last = state;
            if let Some(object) = last.as_ref().filter(|object| holds(object)) {
                return Some(object.clone());
            }
        }
        None
    };
    if let Ok(Some(found)) = timeout(PATIENCE, watched).await {
        return Ok(found);
    }
    if let Some(object) = &mut last {
        // Who wrote which field is longer than all that tells what is amiss.
        object.meta_mut().managed_fields = None;
    }
    let shown = serde_yaml::to_string(&last).unwrap_or_default();
    bail!("{name} is not {what} after {PATIENCE:?}; it is\n{shown}")
}

/// Waits until an object is no more.
///
/// # Errors
/// It is still there after [`PATIENCE`].
pub async fn gone<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watched = async {
        let mut states = Box::pin(states(api, name));
        while let Some(state) = states.next().await {
            if state.is_none() {
                return;
            }
        }
    };
    let outcome = timeout(PATIENCE, watched).await;
    outcome.with_context(|| format!("{name} is still there after {PATIENCE:?}"))
}

/// How an object is, again at each change; failures to look are passed over.
fn states<K>(api: &Api<K>, name: &str) -> impl Stream<Item = Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watched = watch_object(api.clone(), name).default_backoff();
    watched.filter_map(async |state| state.ok())
}

/// Asks again and again until there is an answer, for what no watch tells.
///
/// # Errors
/// There is none within [`PATIENCE`].
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T> {
    let looked = async {
        let mut tick = interval(LOOK);
        loop {
            tick.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let outcome = timeout(PATIENCE, looked).await;
    outcome.with_context(|| format!("not {what} after {PATIENCE:?}"))
}

/// Waits until there is no object of a kind.
///
/// # Errors
/// One is still there after [`PATIENCE`].
pub(crate) async fn none_left<K>(api: &Api<K>, which: &ListParams) -> Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    let none = async || api.list(which).await.ok()?.items.is_empty().then_some(());
    eventually("without any", none).await
}

/// Looks again and again until all is as `look` wants it.
///
/// # Errors
/// It is not within [`PATIENCE`]; the error tells what was last amiss.
pub async fn holds(what: &str, look: impl AsyncFn() -> Result<()>) -> Result<()> {
    let amiss = Cell::new(None);
    let looked = eventually(what, async || match look().await {
        Ok(()) => Some(()),
        Err(error) => {
            amiss.set(Some(error));
            None
        }
    });
    let looked = looked.await;
    match amiss.take() {
        Some(error) if looked.is_err() => Err(error.context(format!("not {what}"))),
        _ => looked,
    }
}

/// A model's condition of one type.
#[must_use]
pub fn condition(model: &ModelDeployment, kind: ConditionType) -> Option<&Condition> {
    let all = &model.status.as_ref()?.conditions;
    all.iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// Whether a condition holds and speaks of the present generation.
#[must_use]
pub fn is(model: &ModelDeployment, kind: ConditionType) -> bool {
    condition(model, kind).is_some_and(|condition| {
        condition.status == "True" && condition.observed_generation == model.metadata.generation
    })
}

/// Whether the present generation answers and nothing is left to do.
#[must_use]
pub fn ready(model: &ModelDeployment) -> bool {
    is(model, ConditionType::Ready)
        && !is(model, ConditionType::Reconciling)
        && model
            .status
            .as_ref()
            .and_then(|status| status.observed_generation)
            == model.metadata.generation
}
