use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

/// Pauses before a replica that failed is asked again, if no new table comes first. Doubled each
/// time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where requests wait that no replica can take now.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    places: Semaphore,
}

/// One request's patience.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    pause: Duration,
}

/// Why a wait ended without a reason to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    TimeIsUp,
    RoomIsFull,
}

impl Patience {
    /// Only time spent waiting counts, not time at a replica.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            left: longest,
            pause: FIRST_PAUSE,
        }
    }
}

impl WaitingRoom {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Waits for a table of another version than `seen`; where `may_come_back` says that the
    /// table holds replicas that failed a moment ago, at most for a pause.
    pub(crate) async fn wait(
        &self,
        patience: &mut Patience,
        mut changes: watch::Receiver<u64>,
        seen: u64,
        may_come_back: bool,
    ) -> Result<(), GivenUp> {
        let _place = self.places.try_acquire().map_err(|_| GivenUp::RoomIsFull)?;
        let began = Instant::now();
        let pause = if may_come_back {
            patience.pause
        } else {
            patience.left
        };
        let changed = tokio::select! {
            changed = changes.wait_for(|version| *version != seen) => changed.is_ok(),
            () = sleep(pause.min(patience.left)) => false,
        };
        patience.left = patience.left.saturating_sub(began.elapsed());
        if may_come_back {
            patience.pause = (patience.pause * 2).min(LONGEST_PAUSE);
        }
        if !changed && patience.left.is_zero() {
            return Err(GivenUp::TimeIsUp);
        }
        Ok(())
    }
}
