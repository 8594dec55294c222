use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::wire::{OpenError, Opener, Wire};

/// How long an unused connection to a replica is kept, while others are used.
const IDLE: Duration = Duration::from_secs(60);

thread_local! {
    /// Which runtime this thread works for. A connection is best used where it was opened: its
    /// events are heard of by that runtime alone.
    static HOME: Cell<usize> = const { Cell::new(0) };
}

/// Says which runtime this thread works for; those that never do work for number 0.
pub(crate) fn set_home(number: usize) {
    HOME.set(number);
}

/// The connections to one replica that no request uses. Clones are the same pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    /// The last used at the end.
    idle: Arc<Mutex<Vec<Resting>>>,
}

#[derive(Debug)]
struct Resting {
    wire: Wire,
    addr: SocketAddr,
    since: Instant,
    home: usize,
}

/// A connection for one request. Dropped, it is closed, by which the replica learns that nobody
/// waits for it any more; see [`Pool::give_back`].
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) wire: Wire,
    addr: SocketAddr,
    /// It has served a request before, so that the replica may be closing it at this moment.
    pub(super) used: bool,
}

impl Pool {
    /// A connection of this runtime's that rests, the last used first, or a new one.
    pub(super) async fn take(&self, opener: &Opener, addr: SocketAddr) -> Result<Taken, OpenError> {
        while let Some(Resting { wire, addr: of, .. }) = self.pop() {
            // A replica that listens elsewhere since has others.
            if of == addr && wire.is_open() {
                let used = true;
                return Ok(Taken { wire, addr, used });
            }
        }
        self.open(opener, addr).await
    }

    /// A new connection.
    pub(super) async fn open(&self, opener: &Opener, addr: SocketAddr) -> Result<Taken, OpenError> {
        let wire = opener.open(addr).await?;
        let used = false;
        Ok(Taken { wire, addr, used })
    }

    /// Keeps a connection whose answer has been read to its end, and closes those that have
    /// rested too long.
    pub(super) fn give_back(&self, taken: Taken) {
        let Taken { wire, addr, .. } = taken;
        if !wire.is_open() {
            return;
        }
        let (since, home) = (Instant::now(), HOME.get());
        let mut idle = self.lock();
        idle.push(Resting {
            wire,
            addr,
            since,
            home,
        });
        let fresh = |resting: &Resting| since.duration_since(resting.since) < IDLE;
        if !idle.first().is_none_or(fresh) {
            idle.retain(fresh);
        }
    }

    fn pop(&self) -> Option<Resting> {
        let mut idle = self.lock();
        let last = idle
            .iter()
            .rposition(|resting| resting.home == HOME.get())?;
        Some(idle.remove(last))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
