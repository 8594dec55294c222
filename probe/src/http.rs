//! A small HTTP client for replicas and gateways.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chandler_crds::names::paths;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::text::{Sample, samples};

/// Longest answer that is read.
const BODY_LIMIT: usize = 1 << 20;
/// Longest text of metrics that is read: a gateway's tells of each of its models.
const METRICS_LIMIT: usize = 4 << 20;

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

    /// Asks a replica or a gateway for its metrics.
    ///
    /// # Errors
    /// No whole text of the format with status 200 within `limit`, or one of more than 4 MiB.
    pub async fn metrics(&self, addr: SocketAddr, limit: Duration) -> Result<Vec<Sample>, Failed> {
        let text = self.whole(addr, paths::METRICS, limit).await?;
        Ok(samples(str::from_utf8(&text)?)?)
    }

    /// Asks with GET for JSON of a known shape.
    ///
    /// # Errors
    /// No whole answer of that shape with status 200 within `limit`, or one of more than 4 MiB.
    pub async fn json<T: DeserializeOwned>(
        &self,
        addr: SocketAddr,
        path: &str,
        limit: Duration,
    ) -> Result<T, Failed> {
        let text = self.whole(addr, path, limit).await?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Asks with GET for what a path tells with status 200.
    async fn whole(&self, addr: SocketAddr, path: &str, limit: Duration) -> Result<Bytes, Failed> {
        let request = Request::builder()
            .uri(format!("http://{addr}{path}"))
            .body(Full::default())?;
        let (status, text) = self.fetch(request, METRICS_LIMIT, limit).await?;
        if status != StatusCode::OK {
            return Err(format!("{path} gave {status}").into());
        }
        Ok(text)
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, Value), Failed> {
        let (status, body) = self.fetch(request, BODY_LIMIT, limit).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// A whole answer of at most so many bytes.
    async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        bytes: usize,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let answer = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = Limited::new(body, bytes).collect().await?.to_bytes();
            Ok((head.status, body))
        };
        timeout(limit, answer).await?
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    /// What becomes of an answer of `status` with `text`, or of none at all.
    async fn told(answer: Option<(StatusCode, String)>) -> Result<Vec<Sample>, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limit = match answer {
            Some(_) => Duration::from_secs(60),
            None => Duration::from_millis(1),
        };
        let answering = async move || match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        };
        let router = Router::new().route(paths::METRICS, get(answering));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Client::new().metrics(addr, limit).await
    }

    #[tokio::test]
    async fn metrics_are_read_of_an_answer_with_200_alone() {
        let text = || "x{a=\"b\"} 1\n".to_owned();
        let read = told(Some((StatusCode::OK, text()))).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].label("a"), Some("b"));
        let refused = told(Some((StatusCode::SERVICE_UNAVAILABLE, text()))).await;
        assert!(refused.unwrap_err().to_string().contains("503"));
        let page = told(Some((StatusCode::OK, "<html>".to_owned()))).await;
        assert!(page.unwrap_err().to_string().contains("line 1"));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        assert!(told(None).await.is_err());
        let long = |bytes: usize| Some((StatusCode::OK, format!("{}\nx 1", " ".repeat(bytes))));
        assert!(told(long(METRICS_LIMIT)).await.is_err());
        assert_eq!(told(long(METRICS_LIMIT - 8)).await.unwrap().len(), 1);
    }
}
