//! How far a fetch has come.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What [`crate::fetch`] is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bytes are still missing on this machine.
    Downloading,
    /// All bytes are here; their digests are being computed.
    Verifying,
}

/// How far a fetch has come in its phase. A download that has to start over counts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes of all files together.
    pub bytes_total: u64,
    /// Bytes that a store has sent so far, also for tries that failed. What was here before is none.
    pub bytes_received: u64,
}

/// Sums the progress of files that are fetched at the same time.
pub(crate) struct Tracker<'a> {
    report: &'a (dyn Fn(Progress) + Send + Sync),
    total: u64,
    downloaded: AtomicU64,
    verified: AtomicU64,
    received: AtomicU64,
}

impl<'a> Tracker<'a> {
    pub(crate) fn new(total: u64, report: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        Self {
            report,
            total,
            downloaded: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes came from a store.
    pub(crate) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.add_downloaded(bytes);
    }

    /// Bytes are here, wherever they came from.
    pub(crate) fn add_downloaded(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn take_downloaded(&self, bytes: u64) {
        self.downloaded.fetch_sub(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn add_verified(&self, bytes: u64) {
        self.verified.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn take_verified(&self, bytes: u64) {
        self.verified.fetch_sub(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// Files verify while others download, so the phase is the one of the slowest file.
    fn tell(&self) {
        let downloaded = self.downloaded.load(Ordering::Relaxed);
        let (phase, done) = if downloaded < self.total {
            (Phase::Downloading, downloaded)
        } else {
            (Phase::Verifying, self.verified.load(Ordering::Relaxed))
        };
        (self.report)(Progress {
            phase,
            bytes_done: done.min(self.total),
            bytes_total: self.total,
            bytes_received: self.received.load(Ordering::Relaxed),
        });
    }
}

impl fmt::Debug for Tracker<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tracker")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
