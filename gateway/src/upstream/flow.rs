use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use http::response;

use super::pool::{Pool, Taken};
use super::wire::{OpenError, Opener, WireError};
use crate::http1::{Output, Said};

/// The body of a replica's answer, and the connection that it comes by. At the body's end the
/// connection goes back to the pool; dropped before, it is closed.
#[derive(Debug)]
pub(crate) struct Flow {
    taken: Option<Taken>,
    pool: Pool,
}

/// Why an answer did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The replica never saw the request.
    #[error(transparent)]
    Unreachable(#[from] OpenError),
    /// The replica may have seen it.
    #[error(transparent)]
    Lost(WireError),
}

impl Pool {
    /// Sends a request to `addr`; gives the answer's head, what it says, and its body to come.
    ///
    /// A connection that rested may have ended before a byte of the request left, which says
    /// nothing of the replica: the request is then sent by a new connection.
    pub(crate) async fn send(
        &self,
        opener: &Opener,
        addr: SocketAddr,
        request: impl Fn() -> Output,
    ) -> Result<(response::Parts, Said, Flow), SendError> {
        let mut taken = self.take(opener, addr).await?;
        let mut answer = taken.wire.send(request()).await;
        if taken.used && matches!(answer, Err(WireError::NeverSent)) {
            taken = self.open(opener, addr).await?;
            answer = taken.wire.send(request()).await;
        }
        let (head, said) = answer.map_err(SendError::Lost)?;
        let (taken, pool) = (Some(taken), self.clone());
        Ok((head, said, Flow { taken, pool }))
    }
}

impl Flow {
    /// The next bytes of the body; `None` at its orderly end. May be dropped and called again.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, WireError>> {
        let Some(taken) = &mut self.taken else {
            return None;
        };
        let data = poll_fn(|cx| taken.wire.poll_data(cx)).await;
        if data.is_none()
            && let Some(taken) = self.taken.take()
        {
            self.pool.give_back(taken);
        }
        data
    }
}
