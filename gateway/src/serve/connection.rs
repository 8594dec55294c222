use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::conversation::Conversation;
use super::pulse::Pulse;
use crate::gateway::Gateway;

/// What all connections have in common.
pub(super) struct Door {
    pub(super) gateway: Gateway,
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
}

/// One client's connection. Ends when the client goes, by which the request's future or its
/// answer's body is dropped, and with it the connection to the replica; and when the client is
/// too slow.
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

async fn converse<S>(stream: S, door: &Arc<Door>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = door.gateway.inner();
    let pulse = Arc::new(Pulse::new(Instant::now()));
    let conversation = Conversation::new(stream, Arc::clone(&pulse), door);
    let mut conversation = pin!(conversation.run());
    let mut overdue = pin!(pulse.overdue(&inner.config.pace));
    tokio::select! {
        biased;
        ended = &mut conversation => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        }
        overdue = &mut overdue => inner.metrics.connection_ended(overdue.reason()),
    }
}
