//! Whether new requests are to wait for memory.
//!
//! What a server holds is planned when it loads, with a reserve that nothing is to take. If it shrinks all the
//! same, because of others on the machine or of what nobody planned, new requests are refused until it is back:
//! what runs then ends and gives memory back, where one more may be the one that everybody is killed for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use super::{RESERVE, available};

/// How often the system is asked. An answer of many tokens takes longer, and one request is far less than the
/// reserve.
const INTERVAL: Duration = Duration::from_millis(200);

/// So little memory is left that a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} MiB of memory are left, and {} MiB are kept in reserve", .available >> 20, .reserve >> 20)]
pub struct MemoryLow {
    /// Bytes.
    pub available: u64,
    /// Bytes that nothing is to take.
    pub reserve: u64,
}

/// What was last read of the memory, and what came of it.
#[derive(Debug)]
pub struct MemoryWatch {
    available: AtomicU64,
    is_low: AtomicBool,
}

impl Default for MemoryWatch {
    fn default() -> Self {
        Self {
            available: AtomicU64::new(u64::MAX),
            is_low: AtomicBool::new(false),
        }
    }
}

impl MemoryWatch {
    /// Whether one more request may begin beside those that are `in_flight`.
    ///
    /// # Errors
    /// [`MemoryLow`], where it has to wait.
    pub fn check(&self, in_flight: usize) -> Result<(), MemoryLow> {
        if admits(self.is_low.load(Ordering::Relaxed), in_flight) {
            return Ok(());
        }
        Err(MemoryLow {
            available: self.available.load(Ordering::Relaxed),
            reserve: RESERVE,
        })
    }

    /// So much is available now.
    pub(crate) fn read(&self, available: u64) {
        let was_low = self.is_low.load(Ordering::Relaxed);
        let is_low = is_low(was_low, available, RESERVE);
        self.available.store(available, Ordering::Relaxed);
        self.is_low.store(is_low, Ordering::Relaxed);
        if is_low != was_low {
            tracing::warn!(available, reserve = RESERVE, is_low, "memory");
        }
    }

    /// Reads what the system tells from now on, on a thread that ends with `watch`, and `tell`s it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn follow(watch: &Arc<Self>, tell: impl Fn(u64) + Send + 'static) -> io::Result<()> {
        let watch: Weak<Self> = Arc::downgrade(watch);
        let thread = thread::Builder::new().name("memory-watch".to_owned());
        thread.spawn(move || {
            while let (Some(watch), Some(available)) = (watch.upgrade(), available()) {
                watch.read(available);
                tell(available);
                drop(watch);
                thread::sleep(INTERVAL);
            }
        })?;
        Ok(())
    }
}

/// Whether memory is low. Where it was, it is until there is half as much again: one that ends is not to let
/// many in at once.
fn is_low(was_low: bool, available: u64, reserve: u64) -> bool {
    let enough = match was_low {
        true => reserve.saturating_add(reserve / 2),
        false => reserve,
    };
    available < enough
}

/// Whether a request may begin. Where nothing runs that could give memory back it may in any case: a server that
/// refused everything for good would be of no use.
fn admits(is_low: bool, in_flight: usize) -> bool {
    !is_low || in_flight == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_low_below_the_reserve_and_until_there_is_more_than_that() {
        assert!(!is_low(false, 100, 100));
        assert!(is_low(false, 99, 100));
        assert!(is_low(true, 149, 100));
        assert!(!is_low(true, 150, 100));
        assert!(is_low(true, u64::MAX - 1, u64::MAX));
    }

    #[test]
    fn requests_are_refused_while_memory_is_low_and_others_run() {
        let watch = MemoryWatch::default();
        assert_eq!(watch.check(1), Ok(()));
        watch.read(RESERVE - 1);
        let low = MemoryLow {
            available: RESERVE - 1,
            reserve: RESERVE,
        };
        assert_eq!(watch.check(1), Err(low));
        assert_eq!(watch.check(0), Ok(()));
        watch.read(RESERVE);
        assert!(watch.check(1).is_err());
        watch.read(2 * RESERVE);
        assert_eq!(watch.check(1), Ok(()));
    }
}
