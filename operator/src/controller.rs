//! Turns for models that change, or whose parts do, or that someone waits for. Runs on the leader alone.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chandler_core::retry::Backoff;
use chandler_crds::names::{KIND, labels};
use futures::{Stream, StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use kube_runtime::controller::{Action, Config, Error};
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::{Controller, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::ledger::{Watched, key, reference};
use crate::looks::Looks;
use crate::reconcile::{Context, Worlds, reconcile};

/// One change of a child comes as several events within milliseconds.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// One failed watch pauses all, so none may pause long.
const WATCH_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(200),
    factor: 2.0,
    max: Duration::from_secs(5),
    jitter: 0.3,
};

/// What is watched.
#[derive(Clone)]
pub struct Scope {
    /// A client for connections that stay open.
    pub client: Client,
    /// One namespace, or all.
    pub namespace: Option<String>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Scope {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// Watches, and does turns until `stop`; then finishes those that run. `synced` is called once all
/// models are known. A turn that runs when this future is dropped is dropped with it.
pub async fn control<W: Worlds>(
    scope: &Scope,
    context: Arc<Context<W>>,
    due: mpsc::Receiver<Looks>,
    stop: CancellationToken,
    synced: impl FnOnce(),
) {
    let controller = watches(scope);
    let store = controller.store();
    context.guard.metrics.ledger().open(store.clone());
    let turns = controller
        .reconcile_on(asked_for(store.clone(), due))
        .with_config(Config::default().debounce(DEBOUNCE))
        .trigger_backoff(Pauses::default())
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(
            one_turn,
            |_, never: &Infallible, _| match *never {},
            context,
        )
        .for_each(async |ended| {
            if let Err(error) = ended {
                log(&error);
            }
        });
    let listed = async {
        if store.wait_until_ready().await.is_ok() {
            tracing::info!(models = store.len(), "all models are known");
            synced();
        }
    };
    tokio::join!(turns, listed);
}

/// Everything whose change asks for a turn. Only metadata is watched: every turn reads what it
/// needs anew.
fn watches(scope: &Scope) -> Controller<Watched> {
    let of_models = watcher::Config::default().labels(labels::MODEL);
    Controller::new(scope.api::<Watched>(), watcher::Config::default())
        .owns(scope.api::<Deployment>(), of_models.clone())
        .owns(scope.api::<Service>(), of_models.clone())
        .owns(scope.api::<PodDisruptionBudget>(), of_models.clone())
        .owns(scope.api::<Job>(), of_models.clone())
        .watches(
            scope.api::<PartialObjectMeta<Pod>>(),
            of_models,
            |pod: PartialObjectMeta<Pod>| model_of(&pod),
        )
}

/// A pod is owned by what its Deployment made; its label tells whose it is.
fn model_of(pod: &PartialObjectMeta<Pod>) -> Option<ObjectRef<Watched>> {
    let model = pod.labels().get(labels::MODEL)?;
    Some(ObjectRef::new(model).within(pod.metadata.namespace.as_deref()?))
}

/// The models that what the gateways tell asks for.
fn asked_for(
    models: Store<Watched>,
    due: mpsc::Receiver<Looks>,
) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
    let looks = stream::unfold(due, async |mut due| Some((due.recv().await?, due)));
    looks.flat_map(move |looks| {
        stream::iter(match looks {
            Looks::All => models
                .state()
                .iter()
                .map(|model| reference(&key(model)))
                .collect(),
            Looks::Of(keys) => keys.iter().map(reference).collect::<Vec<_>>(),
        })
    })
}

async fn one_turn<W: Worlds>(
    watched: Arc<Watched>,
    context: Arc<Context<W>>,
) -> Result<Action, Infallible> {
    let key = key(&watched);
    let span = tracing::info_span!("turn", model = %key);
    Ok(reconcile(&key, &context).instrument(span).await)
}

fn log(error: &Error<Infallible, watcher::Error>) {
    match error {
        // A child outlived its model for a moment.
        Error::ObjectNotFound(_) => tracing::debug!(%error, "nothing to do"),
        _ => tracing::warn!(%error, "a watch failed"),
    }
}

/// Waits between failures of watches.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(WATCH_AGAIN.delay(self.failures, KIND))
    }
}

impl kube_runtime::utils::Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
