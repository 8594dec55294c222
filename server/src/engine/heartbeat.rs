//! Signs of life of an engine's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Silence after which the thread is taken as stuck. Far above the longest single step, a full
/// batch of a large encoder on a few cores, since a restart loses everything that runs.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// Whether an engine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It does.
    Alive,
    /// The thread has beaten no more for this long.
    Stalled(Duration),
    /// The thread has ended.
    Dead,
}

/// Told by the engine's thread at every step and while idle, read by `/livez`.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    last_beat_ms: AtomicU64,
    dead: AtomicBool,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let shared = Shared {
            start: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            dead: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Heartbeat {
    /// The thread is alive now.
    pub fn beat(&self) {
        let now = self.elapsed_ms();
        self.shared.last_beat_ms.store(now, Ordering::Relaxed);
    }

    /// What the beats tell now.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        if self.shared.dead.load(Ordering::Relaxed) {
            return Liveness::Dead;
        }
        let last = self.shared.last_beat_ms.load(Ordering::Relaxed);
        let silence = Duration::from_millis(self.elapsed_ms().saturating_sub(last));
        if silence > STALLED_AFTER {
            Liveness::Stalled(silence)
        } else {
            Liveness::Alive
        }
    }

    /// A guard that tells the thread's death, panics included, when it is dropped.
    #[must_use]
    pub fn death_watch(&self) -> DeathWatch {
        DeathWatch(self.clone())
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.shared.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Held by the engine's thread as long as it runs.
#[derive(Debug)]
pub struct DeathWatch(Heartbeat);

impl Drop for DeathWatch {
    fn drop(&mut self) {
        self.0.shared.dead.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_is_dead() {
        let heartbeat = Heartbeat::default();
        let watch = heartbeat.death_watch();
        heartbeat.beat();
        assert_eq!(heartbeat.liveness(), Liveness::Alive);
        drop(watch);
        assert_eq!(heartbeat.liveness(), Liveness::Dead);
    }
}
