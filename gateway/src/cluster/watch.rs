use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use chandler_core::traffic::RouteTable;
use chandler_crds::ModelDeployment;
use chandler_crds::names::labels;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Config, Resource};
use kube_runtime::WatchStreamExt;
use kube_runtime::reflector::{self, Store};
use kube_runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;

use super::api;
use super::link::Link;
use super::table::{Clash, Routing, table};
use crate::gateway::Gateway;

/// Most events that one new table answers. They are those that have come already, so a burst
/// costs one table and a lone event waits for nothing.
pub(super) const BURST: usize = 1024;

/// Keeps the gateway's table as the cluster of `config` says it should be, in one namespace or in
/// all, and never ends. The first table is published when all models and all slices are known;
/// while the API server is away, the last one stays.
///
/// # Errors
/// When no client can be made from `config`.
pub async fn follow(
    config: &Config,
    namespace: Option<&str>,
    gateway: &Gateway,
) -> kube::Result<()> {
    let revisions = watcher::Config::default().labels(labels::REVISION);
    let (models, model_changes) =
        watched::<ModelDeployment>(config, namespace, watcher::Config::default(), gateway)?;
    let (slices, slice_changes) = watched::<EndpointSlice>(config, namespace, revisions, gateway)?;
    let mut bursts = stream::select(model_changes, slice_changes).ready_chunks(BURST);
    let mut publisher = Publisher::default();
    while let Some(burst) = bursts.next().await {
        if burst.contains(&true) && is_listed(&models) && is_listed(&slices) {
            publisher.publish(gateway, &models, &slices);
        }
    }
    Ok(())
}

/// The objects of one kind, and, for each event, whether it changed them.
pub(super) fn watched<K>(
    config: &Config,
    namespace: Option<&str>,
    selection: watcher::Config,
    gateway: &Gateway,
) -> kube::Result<(Store<K>, BoxStream<'static, bool>)>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::plural(&());
    let connected = gateway.inner().metrics.watch_connected(&kind);
    let link = Link::new(kind, connected);
    let client = api::client(config, link.clone())?;
    let api = match namespace {
        Some(namespace) => Api::<K>::namespaced(client, namespace),
        None => Api::all(client),
    };
    let (store, mut writer) = reflector::store();
    let events = watcher(api, selection).default_backoff();
    let changes = events.map(move |event| match event {
        Ok(event) => {
            // Nobody reads who wrote which field, and it is half of an object.
            let event = event.modify(|object| object.meta_mut().managed_fields = None);
            writer.apply_watcher_event(&event);
            match event {
                // A list counts once it is whole, and begins before the server says a word.
                Event::Init | Event::InitApply(_) => false,
                Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                    link.answered();
                    true
                }
            }
        }
        Err(error) => {
            link.failed(&error);
            false
        }
    });
    Ok((store, changes.boxed()))
}

pub(super) fn is_listed<K>(store: &Store<K>) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let listed = store.wait_until_ready().now_or_never();
    listed.is_some_and(|listed| listed.is_ok())
}

/// What was published, and which clashes were told.
#[derive(Debug, Default)]
struct Publisher {
    last: Option<RouteTable>,
    told: BTreeSet<Clash>,
}

impl Publisher {
    /// Publishes the table of the moment, unless it is the last one: most changes of a status are
    /// of no matter to it, and each new table wakes all who wait.
    fn publish(
        &mut self,
        gateway: &Gateway,
        models: &Store<ModelDeployment>,
        slices: &Store<EndpointSlice>,
    ) {
        let (models, slices) = (models.state(), slices.state());
        let Routing { table, clashes } = table(
            models.iter().map(Arc::as_ref),
            slices.iter().map(Arc::as_ref),
        );
        for clash in clashes.difference(&self.told) {
            tracing::warn!(
                name = clash.name,
                holder = clash.holder,
                loser = clash.loser,
                "two models want one name, and the older has it: give one another servedName"
            );
        }
        self.told = clashes;
        if self.last.as_ref() != Some(&table) {
            tracing::debug!(names = table.models.len(), "a new table");
            gateway.publish(table.clone());
            self.last = Some(table);
        }
    }
}
