//! A web server of files, with TLS before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::proxy::Proxy;
use crate::setup::sha256;
use crate::tls;

#[derive(Default)]
struct Shared {
    files: BTreeMap<String, Bytes>,
    /// The one value of `Authorization` that is let in.
    login: Option<String>,
    /// Whether answers tell an ETag.
    versions: bool,
    /// Whether `If-Match` is looked at.
    conditions: bool,
}

pub(crate) struct WebServer {
    /// In front of everything.
    pub(crate) proxy: Proxy,
    shared: Arc<Mutex<Shared>>,
}

impl WebServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(true).await
    }

    /// A server whose certificate clients trust, or do not.
    pub(crate) async fn start_with(trusted: bool) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            versions: true,
            conditions: true,
            ..Shared::default()
        }));
        let routes = Router::new()
            .route("/{*path}", get(file))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let covered = tls::cover(server, trusted).await;
        let proxy = Proxy::start(&covered).await;
        Self { proxy, shared }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.proxy.address)
    }

    pub(crate) fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        self.shared().files.insert(path.to_owned(), bytes.into());
    }

    pub(crate) fn demand(&self, authorization: &str) {
        self.shared().login = Some(authorization.to_owned());
    }

    pub(crate) fn tell_no_versions(&self) {
        self.shared().versions = false;
    }

    pub(crate) fn ignore_conditions(&self) {
        self.shared().conditions = false;
    }
}

async fn file(
    State(shared): State<Arc<Mutex<Shared>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let shared = shared.lock().unwrap();
    let given = |name| headers.get(name).map(|value| value.to_str().unwrap());
    if shared.login.is_some() && shared.login.as_deref() != given(header::AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(bytes) = shared.files.get(&path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!("\"{}\"", sha256(&bytes));
    let expected = given(header::IF_MATCH).filter(|_| shared.conditions);
    if expected.is_some_and(|expected| expected != etag) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let mut response = Response::builder();
    if shared.versions {
        response = response.header(header::ETAG, etag);
    }
    let from = given(header::RANGE).map(|range| {
        let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
        from.unwrap().parse::<usize>().unwrap()
    });
    let body = match from {
        None => bytes,
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, range);
            bytes.slice(from..)
        }
    };
    response.body(body.into()).unwrap()
}
