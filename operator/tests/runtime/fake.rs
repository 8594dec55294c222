//! As much of an API server as the runtime speaks to: objects by path, versions, and a switch
//! that cuts a client off.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

/// One request that was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    calls: Vec<Call>,
}

/// The API server.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

/// Cuts one client off from the API server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    cut: Arc<AtomicBool>,
    /// Requests that came to nothing.
    lost: Arc<AtomicUsize>,
}

impl Line {
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    fn loses(&self) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        self.lost.fetch_add(usize::from(cut), Ordering::SeqCst);
        cut
    }
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        self.client_on(&Line::default())
    }

    pub(crate) fn client_on(&self, line: &Line) -> Client {
        let (api, line) = (self.clone(), line.clone());
        let service = service_fn(move |request| {
            let (api, line) = (api.clone(), line.clone());
            async move {
                if line.loses() {
                    return Err(io::Error::other("connection refused"));
                }
                Ok(api.answer(request).await)
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there, as another client would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    pub(crate) fn delete(&self, path: &str) {
        self.state().objects.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// The requests since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    /// Requests so far that were answered, since they were last taken.
    pub(crate) fn answered(&self, method: &Method) -> usize {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.method == method).count()
    }

    /// The writes since the last time, as `METHOD path`.
    pub(crate) fn writes(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls
            .filter(|call| call.method != Method::GET)
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let call = Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        self.state().calls.push(call.clone());
        if call.query.contains("watch=true") {
            return pending().await;
        }
        let (status, body) = self.state().handle(&call);
        Response::builder()
            .status(status)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap()
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn handle(&mut self, call: &Call) -> (StatusCode, Value) {
        match call.method {
            Method::GET => self.read(&call.path),
            Method::POST => {
                let name = call.body["metadata"]["name"].as_str().unwrap();
                let path = format!("{}/{name}", call.path);
                if self.objects.contains_key(&path) {
                    return refusal(StatusCode::CONFLICT, "AlreadyExists");
                }
                (StatusCode::CREATED, self.store(&path, call.body.clone()))
            }
            Method::PUT => self.change(&call.path, call, |_| call.body.clone()),
            Method::PATCH => {
                let path = call.path.trim_end_matches("/status");
                self.change(path, call, |before| {
                    let mut after = before.clone();
                    after["status"] = call.body["status"].clone();
                    after
                })
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    /// An object, or else a list of what is named so in any namespace.
    fn read(&self, path: &str) -> (StatusCode, Value) {
        if let Some(object) = self.objects.get(path) {
            return (StatusCode::OK, object.clone());
        }
        let (group, plural) = path.rsplit_once('/').unwrap();
        if group.contains("/namespaces/") {
            return refusal(StatusCode::NOT_FOUND, "NotFound");
        }
        let listed = |path: &str| path.starts_with(group) && path.contains(&format!("/{plural}/"));
        let found = self.objects.iter().filter(|(path, _)| listed(path));
        let items: Vec<&Value> = found.map(|(_, object)| object).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": {"resourceVersion": self.version.to_string()},
            "items": items,
        });
        (StatusCode::OK, list)
    }

    fn change(
        &mut self,
        path: &str,
        call: &Call,
        change: impl FnOnce(&Value) -> Value,
    ) -> (StatusCode, Value) {
        let Some(before) = self.objects.get(path) else {
            return refusal(StatusCode::NOT_FOUND, "NotFound");
        };
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let expected = version(&call.body);
        if !expected.is_null() && expected != version(before) {
            return refusal(StatusCode::CONFLICT, "Conflict");
        }
        let after = change(before);
        (StatusCode::OK, self.store(path, after))
    }
}

fn refusal(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": reason,
    });
    (code, status)
}
