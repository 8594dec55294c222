//! A small HTTP client for replicas.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// Longest answer that is read.
const BODY_LIMIT: usize = 1 << 20;

/// Why there was no whole answer.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Asks replicas about themselves.
#[derive(Clone, Debug)]
pub struct Client(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that keeps no connection.
    #[must_use]
    pub fn new() -> Self {
        // A replica's life is short and its questions are rare: no connection is kept.
        let builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build_http();
        Self(builder)
    }

    /// Asks with GET; an answer that is no JSON reads as null.
    ///
    /// # Errors
    /// No whole answer within `limit`.
    pub async fn get(
        &self,
        addr: SocketAddr,
        path: &str,
        limit: Duration,
    ) -> Result<(StatusCode, Value), Failed> {
        let request = Request::builder()
            .uri(format!("http://{addr}{path}"))
            .body(Full::default())?;
        self.ask(request, limit).await
    }

    /// Asks with POST and a JSON body; an answer that is no JSON reads as null.
    ///
    /// # Errors
    /// No whole answer within `limit`.
    pub async fn post(
        &self,
        addr: SocketAddr,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<(StatusCode, Value), Failed> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{addr}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        self.ask(request, limit).await
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, Value), Failed> {
        let answer = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let bytes = Limited::new(body, BODY_LIMIT).collect().await?.to_bytes();
            Ok((
                head.status,
                serde_json::from_slice(&bytes).unwrap_or_default(),
            ))
        };
        timeout(limit, answer).await?
    }
}
