use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, middleware};
use http::{HeaderValue, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;

/// How long a client may take to send a request's head, which also bounds an idle connection.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// Accepting fails for want of file descriptors, and they come back only with time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the last words of streams may take to be sent, after the drain deadline.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `shutdown` completes, then takes no new connection, lets requests in flight
/// finish, and ends those that have not by the configured deadline: a stream with an error event
/// and `[DONE]`, anything else with a 503. Returns when all connections are closed.
///
/// # Errors
/// When the listener has no local address.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    tracing::info!(listen = %listener.local_addr()?, "gateway is open");
    let closing = middleware::map_response_with_state(gateway.clone(), close_when_leaving);
    let router = gateway.router().layer(closing);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let draining = gateway.inner().draining.clone();
                    connections.spawn(connection(stream, router.clone(), draining));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drain(&gateway, connections).await;
    Ok(())
}

async fn drain(gateway: &Gateway, mut connections: JoinSet<()>) {
    gateway.leave();
    gateway.inner().draining.cancel();
    let open = connections.len();
    let deadline = gateway.inner().config.drain_deadline;
    if timeout(deadline, all(&mut connections)).await.is_ok() {
        tracing::info!(open, "gateway has drained");
        return;
    }
    tracing::warn!(left = connections.len(), "drain deadline passed");
    gateway.inner().ending.cancel();
    if timeout(LAST_WORDS, all(&mut connections)).await.is_err() {
        connections.shutdown().await;
    }
}

/// A caller that keeps its connection would come back by it as long as it is open.
async fn close_when_leaving(State(gateway): State<Gateway>, mut response: Response) -> Response {
    if gateway.inner().leaving.load(Ordering::Relaxed) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

async fn all(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// One client's connection. Ends when the client goes, by which the service's future or body is
/// dropped, and with it the connection to the replica.
async fn connection(stream: TcpStream, router: Router, draining: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = draining.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
