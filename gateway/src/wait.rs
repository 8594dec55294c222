//! Where requests wait that no replica can take now.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// Pauses before a replica that failed is asked again, if no new table comes first. Doubled each
/// time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Places for a number of requests and of bytes.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// One request's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl WaitingRoom {
    pub(crate) fn new(places: usize, bytes: usize) -> Self {
        let of = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            places: of(places),
            bytes: of(bytes),
        }
    }

    /// A place for a request of so many bytes; `None` if the room is full.
    pub(crate) fn enter(&self, bytes: usize) -> Option<Place> {
        let bytes = u32::try_from(bytes).ok()?;
        Some(Place {
            _place: Arc::clone(&self.places).try_acquire_owned().ok()?,
            _bytes: Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?,
        })
    }
}

/// One request's patience.
#[derive(Debug)]
pub(crate) struct Patience {
    longest: Duration,
    waited: Duration,
    pause: Duration,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There may be a replica now.
    LookAgain,
    /// The moment that was given has come.
    Interrupted,
    /// The request has waited as long as it may.
    TimeIsUp,
}

impl Patience {
    /// Only time spent waiting counts, not time at a replica.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            waited: Duration::ZERO,
            pause: FIRST_PAUSE,
        }
    }

    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    pub(crate) fn left(&self) -> Duration {
        self.longest.saturating_sub(self.waited)
    }

    /// Waits for a table of another version than `seen`; where `may_come_back` says that the
    /// table holds replicas that failed a moment ago, at most for a pause; and never beyond
    /// `interrupt`.
    pub(crate) async fn wait(
        &mut self,
        mut changes: watch::Receiver<u64>,
        seen: u64,
        may_come_back: bool,
        interrupt: Option<Instant>,
    ) -> Wait {
        let began = Instant::now();
        let longest = if may_come_back {
            self.pause
        } else {
            self.left()
        };
        let end = began + longest.min(self.left());
        let until = interrupt.map_or(end, |interrupt| interrupt.min(end));
        let changed = tokio::select! {
            changed = changes.wait_for(|version| *version != seen) => changed.is_ok(),
            () = sleep_until(until) => false,
        };
        self.waited += began.elapsed();
        if changed {
            Wait::LookAgain
        } else if until < end {
            Wait::Interrupted
        } else if self.left().is_zero() {
            Wait::TimeIsUp
        } else {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            Wait::LookAgain
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_room_is_bounded_in_requests_and_in_bytes() {
        let room = WaitingRoom::new(2, 100);
        let first = room.enter(60).unwrap();
        assert!(room.enter(41).is_none(), "too many bytes");
        let second = room.enter(40).unwrap();
        assert!(room.enter(0).is_none(), "too many requests");
        drop(first);
        assert!(room.enter(61).is_none());
        let _third = room.enter(60).unwrap();
        drop(second);
    }

    #[tokio::test]
    async fn a_wait_ends_by_a_change_an_interrupt_or_for_want_of_patience() {
        let (versions, _) = watch::channel(1);
        let now = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60));
        let wait = patience.wait(versions.subscribe(), 1, false, Some(now));
        assert_eq!(wait.await, Wait::Interrupted);
        let wait = patience.wait(versions.subscribe(), 0, false, None);
        assert_eq!(wait.await, Wait::LookAgain, "the table is another already");
        let wait = patience.wait(versions.subscribe(), 1, true, None);
        assert_eq!(wait.await, Wait::LookAgain, "what failed may be back");
        assert!(patience.waited() >= FIRST_PAUSE);
        let mut spent = Patience::new(Duration::ZERO);
        let wait = spent.wait(versions.subscribe(), 1, false, Some(now + LONGEST_PAUSE));
        assert_eq!(wait.await, Wait::TimeIsUp);
    }
}
