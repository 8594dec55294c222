//! What the cluster says as the gateway's table. Pure.
//!
//! A model is known by two names: its served name, and `<namespace>/<served name>`. The longer
//! one belongs to the namespace: no other namespace's model can take it, be it by a served name
//! with a slash in it. Of several models that want one name, the oldest has it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chandler_core::traffic::route::{REQUEST_TIMEOUT, SLOTS};
use chandler_core::traffic::{Endpoint, ModelRoute, RevisionRoute, RouteTable, Shadow};
use chandler_core::validate::{request_timeout, validate};
use chandler_crds::ModelDeployment;
use chandler_crds::names::{labels, ports};
use chandler_crds::status::{RevisionStatus, RolloutPhase};
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// The table, and what could not be had in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Where each name leads.
    pub table: RouteTable,
    /// The names that more than one model wants.
    pub clashes: BTreeSet<Clash>,
}

/// A name that two models want.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clash {
    /// The name.
    pub name: String,
    /// `namespace/name` of the model that has it.
    pub holder: String,
    /// `namespace/name` of the one that cannot be reached by it.
    pub loser: String,
}

/// The table for these models and these slices, in whatever order they come.
pub fn table<'a>(
    models: impl IntoIterator<Item = &'a ModelDeployment>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> Routing {
    let replicas = Replicas::of(slices);
    let models = models.into_iter();
    let mut served: Vec<Served<'_>> = models.filter_map(|m| served(m, &replicas)).collect();
    served.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
    let qualified = served.iter().map(|served| {
        let name = format!("{}/{}", served.namespace, served.route.served_name);
        (name, &served.route)
    });
    let plain = served.iter();
    let plain = plain.map(|served| (served.route.served_name.clone(), &served.route));

    let mut routing = Routing::default();
    for (name, route) in qualified.chain(plain) {
        match routing.table.models.entry(name) {
            Entry::Vacant(free) => {
                free.insert(route.clone());
            }
            Entry::Occupied(taken) => {
                routing.clashes.insert(Clash {
                    name: taken.key().clone(),
                    holder: taken.get().key.clone(),
                    loser: route.key.clone(),
                });
            }
        }
    }
    routing
}

struct Served<'a> {
    namespace: &'a str,
    route: ModelRoute,
}

impl Served<'_> {
    /// The lesser comes first where names clash.
    fn seniority(&self) -> (i64, &str) {
        (self.route.created, &self.route.key)
    }
}

/// One model's route; `None` if it is on its way out, or nothing says what it is called.
fn served<'a>(model: &'a ModelDeployment, replicas: &Replicas<'_>) -> Option<Served<'a>> {
    let metadata = &model.metadata;
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let created = metadata.creation_timestamp.as_ref();
    let revisions = || model.status.iter().flat_map(|status| &status.revisions);
    let route = ModelRoute {
        key: format!("{namespace}/{name}"),
        served_name: served_name(model)?,
        created: created.map_or(0, |time| time.0.as_second()),
        revisions: revisions()
            .map(|revision| route(revision, replicas.ready(namespace, name, &revision.name)))
            .collect(),
        // What is out of bounds was refused by the operator, and its default is as good as any.
        request_timeout: request_timeout(model.spec.server.as_ref()).unwrap_or(REQUEST_TIMEOUT),
        slots: slots(model),
        cold_start: cold_start(revisions()),
        shadow: shadow(model),
    };
    Some(Served { namespace, route })
}

/// What callers name the model. A model that the operator has not seen yet is called what its
/// spec says, so that a first request waits for a replica and is not refused.
fn served_name(model: &ModelDeployment) -> Option<String> {
    let told = model.status.as_ref().and_then(|s| s.served_name.clone());
    told.or_else(|| validate(model).ok().map(|spec| spec.served_name))
}

fn slots(model: &ModelDeployment) -> u32 {
    let server = model.spec.server.as_ref();
    let told = server.and_then(|server| server.max_batch);
    told.and_then(|slots| u32::try_from(slots).ok())
        .map_or(SLOTS, |slots| slots.max(1))
}

/// The prompts that are asked aside: from when the operator says so, until it goes on.
fn shadow(model: &ModelDeployment) -> Option<Shadow> {
    let rollout = model.status.as_ref()?.rollout.as_ref()?;
    let is_due = rollout.phase == RolloutPhase::Progressing
        && rollout.step == 0
        && rollout.held_since.is_some();
    if !is_due {
        return None;
    }
    let aside = validate(model).ok()?.rollout.shadow?;
    Some(Shadow {
        from: rollout.from.clone()?,
        to: rollout.revision.clone(),
        share: aside.share,
    })
}

/// How long the newest revision that has answered took to start, all its steps together.
fn cold_start<'a>(revisions: impl Iterator<Item = &'a RevisionStatus>) -> Option<Duration> {
    let told = revisions.filter_map(|r| Some((&r.created_at, r.startup.as_ref()?)));
    let (_, startup) = told.max_by_key(|(created, _)| *created)?;
    let whole = startup.total();
    (!whole.is_zero()).then_some(whole)
}

fn route(revision: &RevisionStatus, endpoints: Vec<Endpoint>) -> RevisionRoute {
    RevisionRoute {
        revision: revision.name.clone(),
        weight: u32::try_from(revision.weight).unwrap_or(0),
        endpoints,
    }
}

/// The ready replicas of each revision.
#[derive(Default)]
struct Replicas<'a>(BTreeMap<Revision<'a>, BTreeMap<String, SocketAddr>>);

/// Namespace, model and hash.
type Revision<'a> = (&'a str, &'a str, &'a str);

impl<'a> Replicas<'a> {
    fn of(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Self {
        let mut replicas = Self::default();
        for slice in slices {
            let (Some(revision), Some(port)) = (revision(slice), port(slice)) else {
                continue;
            };
            let of_revision = replicas.0.entry(revision).or_default();
            for endpoint in slice
                .endpoints
                .iter()
                .flatten()
                .filter(|e| takes_requests(e))
            {
                let Some(address) = address(endpoint) else {
                    continue;
                };
                let addr = SocketAddr::new(address, port);
                // One pod may stand in several slices, such as one for each family of addresses.
                let known = of_revision.entry(id(revision.0, endpoint, addr));
                known
                    .and_modify(|known| *known = addr.min(*known))
                    .or_insert(addr);
            }
        }
        replicas
    }

    fn ready(&self, namespace: &str, model: &str, revision: &str) -> Vec<Endpoint> {
        let replicas = self
            .0
            .get(&(namespace, model, revision))
            .into_iter()
            .flatten();
        let endpoints = replicas.map(|(id, addr)| Endpoint {
            id: id.clone(),
            addr: *addr,
        });
        endpoints.collect()
    }
}

/// The revision whose Service a slice belongs to: slices inherit a Service's labels.
fn revision(slice: &EndpointSlice) -> Option<Revision<'_>> {
    let labels = slice.metadata.labels.as_ref()?;
    Some((
        slice.metadata.namespace.as_deref()?,
        labels.get(labels::MODEL)?,
        labels.get(labels::REVISION)?,
    ))
}

fn port(slice: &EndpointSlice) -> Option<u16> {
    let mut ports = slice.ports.iter().flatten();
    let http = ports.find(|port| port.name.as_deref() == Some(ports::HTTP_NAME))?;
    u16::try_from(http.port?).ok()
}

/// An absent condition means ready, says the API.
fn takes_requests(endpoint: &discovery::Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    ready && !terminating
}

/// All addresses of an endpoint are the same to a caller, says the API. A host name, which the
/// endpoint controller never writes, is none.
fn address(endpoint: &discovery::Endpoint) -> Option<IpAddr> {
    endpoint.addresses.first()?.parse().ok()
}

/// The pod, so that requests in flight are counted on whatever slice it stands in.
fn id(namespace: &str, endpoint: &discovery::Endpoint, addr: SocketAddr) -> String {
    let pod = endpoint.target_ref.as_ref();
    match pod.and_then(|pod| pod.name.as_deref()) {
        Some(pod) => format!("{namespace}/{pod}"),
        None => format!("{namespace}/{addr}"),
    }
}
