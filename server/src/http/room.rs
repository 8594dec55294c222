//! Room for what requests are while they are read: bodies, their JSON, and what tokenizers make of it, which is
//! a hundred times as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::limits::MAX_BODY;

/// Bytes that a byte of a body becomes on its way to tokens, at most: measured, 108 for a text of short words,
/// and 45 for token ids of one digit.
const EXPANSION: u64 = 110;
/// Threads that make tokens of requests. Each takes megabytes of text a second, far more than is computed; and the
/// system's allocator keeps for each what its longest request took.
pub(super) const THREADS: usize = 2;
/// What the room is counted in.
const UNIT: u64 = 4 << 10;
/// For the longest bodies, and a few of them.
const MOST: u64 = 1 << 30;
/// For bodies of 150 KB: longer than any context of a model that fits so small a machine.
pub(crate) const LEAST: u64 = 32 << 20;

/// The room of a process. Requests wait for their turn in it.
#[derive(Debug)]
pub struct Room {
    bytes: AtomicU64,
    turns: Arc<Semaphore>,
    /// Bytes of bodies that are read, or wait.
    read: Arc<AtomicU64>,
}

impl Default for Room {
    /// As large as it is of use.
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(MOST),
            turns: Arc::new(Semaphore::new(units(MOST))),
            read: Arc::default(),
        }
    }
}

impl Room {
    /// Narrows it to a third of what is `available` beyond a `reserve`, before the first request: with the bodies
    /// that wait it is half, and the rest is for what is computed.
    pub(crate) fn narrow(&self, available: u64, reserve: u64) {
        let bytes = (available.saturating_sub(reserve) / 3).clamp(LEAST, MOST);
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let less = units(before).saturating_sub(units(bytes));
        self.turns.forget_permits(less);
    }

    /// Longest body that is read as a request, bytes. There is room for one on each thread.
    pub(crate) fn longest_body(&self) -> usize {
        let bytes = self.bytes.load(Ordering::Relaxed) / EXPANSION / THREADS as u64;
        usize::try_from(bytes).unwrap_or(MAX_BODY).min(MAX_BODY)
    }

    /// A body that begins to be read.
    pub(super) fn begin(&self) -> Reading {
        Reading {
            bytes: 0,
            most: self.bytes.load(Ordering::Relaxed) / 2,
            all: Arc::clone(&self.read),
        }
    }

    /// Waits until there is room for what a body becomes.
    ///
    /// # Errors
    /// Never: nobody closes the room.
    pub(super) async fn turn(&self, reading: Reading) -> Result<Turn, AcquireError> {
        let all = units(self.bytes.load(Ordering::Relaxed));
        let wanted = units(reading.bytes.saturating_mul(EXPANSION)).min(all);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.turns).acquire_many_owned(wanted).await?;
        Ok(Turn {
            _reading: reading,
            _permit: permit,
        })
    }
}

fn units(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(Semaphore::MAX_PERMITS)
}

/// The bytes of a body so far; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    bytes: u64,
    most: u64,
    all: Arc<AtomicU64>,
}

impl Reading {
    /// Whether so many bytes more may be kept.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= self.most
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Room that a request holds until it is tokens.
#[derive(Debug)]
pub(in crate::http) struct Turn {
    _reading: Reading,
    _permit: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn bodies_are_shorter_where_memory_is_small() {
        let longest = |available| {
            let room = Room::default();
            room.narrow(available, 1 << 20);
            (room.longest_body(), room.turns.available_permits())
        };
        assert_eq!(longest(u64::MAX), (MAX_BODY, units(MOST)));
        assert_eq!(longest(301 << 20), ((100 << 20) / 220, units(100 << 20)));
        assert_eq!(longest(0), ((32 << 20) / 220, units(LEAST)));
    }

    #[test]
    fn what_fits_not_beside_others_waits() {
        let room = Room::default();
        room.narrow(0, 0);
        let turn = |bytes| {
            let mut reading = room.begin();
            assert!(reading.add(bytes));
            room.turn(reading).now_or_never().map(Result::unwrap)
        };
        let longest = room.longest_body();
        let all = turn(3 * longest).expect("it is alone");
        assert!(turn(1).is_none());
        drop(all);
        let one = turn(longest).expect("there is room");
        let _other = turn(longest).expect("there is room");
        assert!(turn(longest / 2).is_none());
        drop(one);
        assert!(turn(longest / 2).is_some());
    }

    #[test]
    fn bodies_that_are_read_together_are_bounded() {
        let room = Room::default();
        room.narrow(0, 0);
        let (mut one, mut other) = (room.begin(), room.begin());
        assert!(one.add(16 << 20));
        assert!(!other.add(1));
        drop(one);
        assert!(other.add(1));
        drop(other);
        assert_eq!(room.read.load(Ordering::Relaxed), 0);
    }
}
