//! A small API server in memory: lists by selector, applies, merges and deletes with
//! preconditions. It merges maps and replaces lists, keeps no owners of fields, and runs no
//! controller.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Uids and resource versions: unlike in all tests, since what was verified is remembered by uid.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> String {
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

/// What the server holds and was asked.
#[derive(Default)]
pub(super) struct State {
    /// By kind and name: `deployments/chat-abc`.
    pub(super) objects: BTreeMap<String, Value>,
    /// Every request that changes something or tries to: `apply deployments/chat-abc`.
    pub(super) log: Vec<String>,
    /// Requests of any kind.
    pub(super) asked: usize,
    /// Requests of this log line are answered with this code.
    pub(super) refuse: Option<(String, u16)>,
    /// Someone else writes each object of this kind as soon as it was listed, this often.
    pub(super) meddled: Option<(&'static str, usize)>,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

/// The parts of a request that count.
struct Asked {
    method: Method,
    kind: String,
    name: Option<String>,
    query: BTreeMap<String, String>,
    is_apply: bool,
    body: Value,
}

type Answer = Result<Value, (u16, &'static str)>;

impl Fake {
    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.serve(request).await) }
        });
        Client::new(service, "models")
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The log so far; it starts anew.
    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    pub(super) fn get(&self, path: &str) -> Value {
        self.state().objects[path].clone()
    }

    /// Puts an object there, or changes one, as someone else.
    pub(super) fn set(&self, path: &str, change: &Value) {
        let mut state = self.state();
        let object = state.objects.entry(path.to_owned()).or_insert(json!({}));
        merge(object, change);
        seal(object);
    }

    async fn serve(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut path = head
            .uri
            .path()
            .split('/')
            .skip_while(|part| *part != "namespaces");
        let (kind, name) = (path.nth(2).unwrap().to_owned(), path.next());
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let kind_of_patch = head.headers.get(http::header::CONTENT_TYPE);
        let asked = Asked {
            method: head.method,
            kind,
            name: name.map(str::to_owned),
            query: url::form_urlencoded::parse(query).into_owned().collect(),
            is_apply: kind_of_patch.is_some_and(|kind| kind == "application/apply-patch+yaml"),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let (code, body) = match self.state().answer(&asked) {
            Ok(body) => (200, body),
            Err((code, message)) => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "code": code, "message": message, "reason": "Told"});
                (code, status)
            }
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Answer {
        self.asked += 1;
        let name = asked.name.as_deref().unwrap_or_default();
        let verb = match (&asked.method, asked.query.contains_key("dryRun")) {
            (&Method::GET, _) => "list",
            (&Method::DELETE, _) => "delete",
            (_, true) => "rehearse",
            _ if asked.is_apply => "apply",
            _ => "merge",
        };
        let line = format!("{verb} {}/{name}", asked.kind);
        if let Some((refused, code)) = &self.refuse
            && line.starts_with(refused.as_str())
        {
            return Err((*code, "refused"));
        }
        if verb == "list" {
            return Ok(self.list(asked));
        }
        self.log.push(line);
        let path = format!("{}/{name}", asked.kind);
        if verb == "delete" {
            return self.delete(&path, &asked.body);
        }
        self.patch(&path, &asked.body, verb == "rehearse")
    }

    fn list(&mut self, asked: &Asked) -> Value {
        let prefix = format!("{}/", asked.kind);
        let selector = |key: &str| asked.query.get(key).map(String::as_str).unwrap_or_default();
        let (labels, fields) = (selector("labelSelector"), selector("fieldSelector"));
        let fits = |object: &Value| {
            let meta = &object["metadata"];
            let pairs = |text: &str| -> Vec<(String, String)> {
                let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
                pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
            };
            pairs(labels)
                .iter()
                .all(|(key, value)| meta["labels"][key] == value.as_str())
                && pairs(fields)
                    .iter()
                    .all(|(_, value)| meta["name"] == value.as_str())
        };
        let of_kind = self
            .objects
            .iter_mut()
            .filter(|(path, _)| path.starts_with(&prefix));
        let found = of_kind
            .map(|(_, object)| object)
            .filter(|object| fits(object));
        let meddled = self.meddled.as_mut();
        let mut meddled = meddled.filter(|(kind, _)| *kind == asked.kind);
        let mut items = Vec::new();
        for object in found {
            items.push(object.clone());
            if let Some((_, left)) = &mut meddled
                && *left > 0
            {
                *left -= 1;
                object["metadata"]["resourceVersion"] = json!(next());
            }
        }
        json!({"metadata": {}, "items": items})
    }

    fn patch(&mut self, path: &str, patch: &Value, dry: bool) -> Answer {
        let before = self.objects.get(path);
        let nothing = Value::Null;
        for key in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][key];
            let there = before.map_or(&nothing, |object| &object["metadata"][key]);
            if !wanted.is_null() && wanted != there {
                return Err((409, "the object has been modified"));
            }
        }
        let mut after = before.cloned().unwrap_or_else(|| json!({}));
        merge(&mut after, patch);
        if before != Some(&after) {
            seal(&mut after);
            if !dry {
                self.objects.insert(path.to_owned(), after.clone());
            }
        }
        Ok(after)
    }

    fn delete(&mut self, path: &str, options: &Value) -> Answer {
        let Some(object) = self.objects.get(path) else {
            return Err((404, "not found"));
        };
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return Err((409, "the UID in the precondition differs"));
        }
        self.objects.remove(path);
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }
}

/// What the server writes into an object by itself.
fn seal(object: &mut Value) {
    let meta = &mut object["metadata"];
    if meta["uid"].is_null() {
        meta["uid"] = json!(format!("uid-{}", next()));
        meta["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    meta["resourceVersion"] = json!(next());
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => into.clone_from(patch),
    }
}
