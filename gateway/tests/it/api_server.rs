//! An API server of the test's making: lists and watches of whatever objects it is given.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::stream;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::until;
use crate::upstream::accept;

/// One process that serves. It may be stopped and started again on its port.
pub(crate) struct ApiServer {
    pub(crate) addr: SocketAddr,
    cluster: Arc<Cluster>,
    task: Option<JoinHandle<()>>,
}

/// What outlives a restart.
struct Cluster {
    state: Mutex<Content>,
    version: watch::Sender<u64>,
    /// Lists of this kind wait.
    held: watch::Sender<Option<&'static str>>,
}

#[derive(Default)]
struct Content {
    /// By kind and `namespace/name`.
    objects: BTreeMap<(String, String), Value>,
    changes: Vec<Change>,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Change {
    version: u64,
    kind: String,
    event: &'static str,
    object: Value,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            addr: ([127, 0, 0, 1], 0).into(),
            cluster: Arc::new(Cluster {
                state: Mutex::default(),
                version: watch::Sender::new(1),
                held: watch::Sender::new(None),
            }),
            task: None,
        };
        server.begin().await;
        server
    }

    pub(crate) async fn begin(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.addr = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(self.cluster.clone());
        self.task = Some(tokio::spawn(accept(listener, router)));
    }

    /// Ends the listener and every connection at once.
    pub(crate) async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    pub(crate) fn put<K>(&self, object: &K)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        self.change("MODIFIED", object);
    }

    pub(crate) fn delete<K>(&self, object: &K)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        self.change("DELETED", object);
    }

    fn change<K>(&self, event: &'static str, object: &K)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let mut content = self.cluster.content();
        let version = *self.cluster.version.borrow() + 1;
        let kind = K::plural(&()).into_owned();
        let key = format!("{}/{}", object.namespace().unwrap(), object.name_any());
        let mut object = serde_json::to_value(object).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let of_kind = (kind.clone(), key);
        if event == "DELETED" {
            content.objects.remove(&of_kind);
        } else {
            content.objects.insert(of_kind, object.clone());
        }
        content.changes.push(Change {
            version,
            kind,
            event,
            object,
        });
        // Under the lock, so that versions come in order.
        self.cluster.version.send_replace(version);
    }

    /// Forgets what changed when, as etcd does when it is compacted: whoever watches from an
    /// older version is told 410, those included that have not kept up.
    pub(crate) fn forget(&self) {
        let mut content = self.cluster.content();
        let version = *self.cluster.version.borrow() + 1;
        content.changes.clear();
        content.forgotten = version;
        // Under the lock, so that versions come in order.
        self.cluster.version.send_replace(version);
    }

    pub(crate) fn hold(&self, kind: Option<&'static str>) {
        self.cluster.held.send_replace(kind);
    }

    /// Waits for a request whose path and query have each of these in them.
    pub(crate) async fn asked(&self, parts: &[&str]) {
        let all = |request: &String| parts.iter().all(|part| request.contains(part));
        until("a request", || {
            self.cluster.content().requests.iter().any(all)
        })
        .await;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.cluster.content().requests.clone()
    }

    pub(crate) fn config(&self) -> kube::Config {
        kube::Config::new(format!("http://{}", self.addr).parse().unwrap())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Cluster {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }
}

/// What a list or a watch asks for.
#[derive(Clone)]
struct Selection {
    kind: String,
    namespace: Option<String>,
    label: Option<String>,
}

impl Selection {
    fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let namespace = self.namespace.as_ref();
        let label = self.label.as_ref();
        namespace.is_none_or(|namespace| metadata["namespace"] == **namespace)
            && label.is_none_or(|label| match label.split_once('=') {
                Some((label, value)) => metadata["labels"][label] == *value,
                None => metadata["labels"].get(label).is_some(),
            })
    }
}

async fn answer(
    State(cluster): State<Arc<Cluster>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    cluster.content().requests.push(request.uri().to_string());
    let segments: Vec<&str> = path.split('/').collect();
    let namespace = segments.iter().position(|segment| *segment == "namespaces");
    let selection = Selection {
        kind: (*segments.last().unwrap()).to_owned(),
        namespace: namespace.map(|at| segments[at + 1].to_owned()),
        label: query.get("labelSelector").cloned(),
    };
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let from = query["resourceVersion"].parse().unwrap();
        return events(cluster, selection, from);
    }
    let mut held = cluster.held.subscribe();
    let kind = selection.kind.clone();
    held.wait_for(|held| held.is_none_or(|held| held != kind))
        .await
        .unwrap();
    list(&cluster, &selection).into_response()
}

fn list(cluster: &Cluster, selection: &Selection) -> Json<Value> {
    let content = cluster.content();
    let of_kind = content.objects.iter();
    let of_kind = of_kind.filter(|((kind, _), _)| *kind == selection.kind);
    let items: Vec<&Value> = of_kind
        .map(|(_, object)| object)
        .filter(|object| selection.takes(object))
        .collect();
    let version = cluster.version.borrow().to_string();
    Json(json!({"metadata": {"resourceVersion": version}, "items": items}))
}

fn events(cluster: Arc<Cluster>, selection: Selection, from: u64) -> Response {
    let versions = cluster.version.subscribe();
    let watching = Watching {
        cluster,
        versions,
        selection,
        seen: Some(from),
    };
    let lines = stream::unfold(watching, |mut watching| async {
        let lines = watching.next().await?;
        Some((Ok::<_, Infallible>(lines), watching))
    });
    Body::from_stream(lines).into_response()
}

struct Watching {
    cluster: Arc<Cluster>,
    versions: watch::Receiver<u64>,
    selection: Selection,
    /// Absent once there is no going on.
    seen: Option<u64>,
}

impl Watching {
    /// The events since the last call, one a line.
    async fn next(&mut self) -> Option<String> {
        let seen = self.seen?;
        let newer = self.versions.wait_for(|version| *version > seen).await;
        let newest = *newer.unwrap();
        let content = self.cluster.content();
        if seen < content.forgotten {
            self.seen = None;
            let status = json!({"kind": "Status", "status": "Failure", "reason": "Expired",
                "message": "too old resource version", "code": 410});
            return Some(line("ERROR", &status));
        }
        self.seen = Some(newest);
        let changes = content.changes.iter();
        let changes = changes.filter(|change| {
            (seen + 1..=newest).contains(&change.version)
                && change.kind == self.selection.kind
                && self.selection.takes(&change.object)
        });
        Some(changes.map(|c| line(c.event, &c.object)).collect())
    }
}

fn line(event: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": event, "object": object}))
}
