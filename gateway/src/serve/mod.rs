//! The listener: connections, their bounds, their TLS, and the two stages of a shutdown.

mod answer;
mod body;
mod connection;
mod conversation;
mod date;
mod line;
mod pulse;
mod tls;
mod workers;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) use body::unread;
pub use tls::{Certificates, TlsError, TlsFiles};

use crate::gateway::Gateway;
use connection::{Door, connection};
use workers::Workers;

/// Accepting fails for want of file descriptors, and they come back only with time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the last words of streams may take to be sent, after the drain deadline.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `shutdown` completes, then takes no new connection, lets requests in flight
/// finish, and ends those that have not by the configured deadline: a stream with an error event
/// and `[DONE]`, anything else with a 503. Returns when all connections are closed.
///
/// # Errors
/// When the listener has no local address, or the system gives no more threads.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let certificates = gateway.inner().config.tls.clone();
    let tls = certificates.is_some();
    tracing::info!(listen = %listener.local_addr()?, tls, "gateway is open");
    let door = Arc::new(Door {
        router: gateway.router(),
        tls: certificates.as_ref().map(Certificates::acceptor),
        gateway: gateway.clone(),
    });
    let workers = Workers::start(gateway.inner().config.threads)?;
    let mut connections = JoinSet::new();
    let mut renewed = pin!(follow(certificates, &gateway));
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = &mut renewed => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &door, &workers, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {
                gateway.inner().metrics.connections(connections.len());
            }
        }
    }
    drop(listener);
    drain(&gateway, connections).await;
    gateway.inner().observers.flush().await;
    Ok(())
}

/// Never completes.
async fn follow(certificates: Option<Certificates>, gateway: &Gateway) {
    if let Some(certificates) = certificates {
        let refused = gateway.inner().metrics.certificate_refused();
        certificates.follow(&refused).await;
    }
    std::future::pending::<()>().await;
}

/// Takes one more connection, or closes it at once if there are too many.
fn admit(stream: TcpStream, door: &Arc<Door>, workers: &Workers, connections: &mut JoinSet<()>) {
    let inner = door.gateway.inner();
    if connections.len() >= inner.config.max_connections {
        while connections.try_join_next().is_some() {}
    }
    if connections.len() >= inner.config.max_connections {
        inner.metrics.connection_ended("tooMany");
        return;
    }
    let door = Arc::clone(door);
    if workers.any() {
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let moved = async {
            // It is heard of by the runtime that it is made in.
            match TcpStream::from_std(stream) {
                Ok(stream) => connection(stream, door).await,
                Err(error) => tracing::warn!(%error, "could not take a connection"),
            }
        };
        workers.spawn(connections, moved);
    } else {
        workers.spawn(connections, connection(stream, door));
    }
    inner.metrics.connections(connections.len());
}

async fn drain(gateway: &Gateway, mut connections: JoinSet<()>) {
    gateway.leave();
    gateway.inner().draining.give();
    let open = connections.len();
    let deadline = gateway.inner().config.drain_deadline;
    if timeout(deadline, all(&mut connections)).await.is_ok() {
        tracing::info!(open, "gateway has drained");
        return;
    }
    tracing::warn!(left = connections.len(), "drain deadline passed");
    gateway.inner().ending.give();
    if timeout(LAST_WORDS, all(&mut connections)).await.is_err() {
        connections.shutdown().await;
    }
}

async fn all(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}
