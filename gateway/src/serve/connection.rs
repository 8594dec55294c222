use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::body::{Answered, Paced, Turn};
use super::io::Watched;
use super::pulse::Pulse;
use crate::errors::GatewayError;
use crate::gateway::Gateway;
use crate::observe::AccessRecord;
use crate::routes;

/// Longest head of a request, bytes, that is answered in the API's own words.
const MAX_HEAD: usize = 32 << 10;
/// Longest head that is read at all. Beyond it, and beyond 100 fields, the HTTP library answers
/// with a bare 431 and closes the connection.
const MAX_HEAD_READ: usize = 64 << 10;

/// What all connections have in common.
pub(super) struct Door {
    pub(super) gateway: Gateway,
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
}

/// One client's connection. Ends when the client goes, by which the service's future or body is
/// dropped, and with it the connection to the replica; and when the client is too slow.
pub(super) async fn connection(stream: TcpStream, door: Arc<Door>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let Some(tls) = &door.tls else {
        return converse(stream, &door).await;
    };
    let inner = door.gateway.inner();
    match timeout(inner.config.pace.head, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, &door).await,
        Ok(Err(error)) => {
            inner.metrics.connection_ended("tlsFailed");
            tracing::debug!(%error, "no TLS was agreed on");
        }
        Err(_) => inner.metrics.connection_ended("slowHead"),
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, door: &Arc<Door>) {
    let inner = door.gateway.inner();
    let pulse = Arc::new(Pulse::new(Instant::now()));
    let answer = |request| {
        pulse.request_came();
        answer(Arc::clone(door), Arc::clone(&pulse), request)
    };
    let serving = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD_READ)
        .serve_connection(
            TokioIo::new(Watched::new(stream, Arc::clone(&pulse))),
            service_fn(answer),
        );
    let mut serving = pin!(serving);
    let mut overdue = pin!(pulse.overdue(&inner.config.pace));
    let mut told_to_end = false;
    loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            overdue = &mut overdue => {
                inner.metrics.connection_ended(overdue.reason());
                return;
            }
            () = inner.draining.cancelled(), if !told_to_end => {
                told_to_end = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    door: Arc<Door>,
    pulse: Arc<Pulse>,
    mut request: Request<Incoming>,
) -> Result<Response<Answered>, Infallible> {
    let turn = Turn(Arc::clone(&pulse));
    let inner = door.gateway.inner();
    let record = AccessRecord::begin(&inner.observers, &mut request);
    let bodiless = request.method() == Method::HEAD;
    let mut response = if head_size(&request) > MAX_HEAD {
        let error = GatewayError::HeadTooLarge { limit: MAX_HEAD };
        inner.metrics.refused(error.status());
        error.into_response()
    } else {
        let pace = inner.config.pace;
        let request = request.map(|body| Body::new(Paced::new(body, pace, pulse, record.clone())));
        routes::answer(&door.gateway, &door.router, request).await
    };
    record.answered(&mut response);
    if inner.leaving.load(Ordering::Relaxed) {
        // A caller that keeps its connection would come back by it as long as it is open.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let length = if bodiless {
        Some(0)
    } else {
        told_length(&response)
    };
    Ok(response.map(|body| Answered::new(body, length, record, turn)))
}

fn told_length(response: &Response) -> Option<u64> {
    let length = response.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Bytes of a head as it is written in HTTP/1.1, but for a few of the first line.
fn head_size(request: &Request<Incoming>) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    let uri = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter();
    uri + fields
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS)
        .sum::<usize>()
}
