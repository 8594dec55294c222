use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube_runtime::watcher;
use prometheus::IntGauge;

/// The code of a watch that fell too far behind and begins anew with a list. It is no loss.
const GONE: u16 = 410;

/// Whether the API server tells of changes of one kind of object; says so in a gauge, and in the
/// log when it changes.
#[derive(Debug, Clone)]
pub(super) struct Link {
    kind: Cow<'static, str>,
    connected: IntGauge,
    loss_told: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(kind: Cow<'static, str>, connected: IntGauge) -> Self {
        Self {
            kind,
            connected,
            loss_told: Arc::default(),
        }
    }

    /// The API server has answered well.
    pub(super) fn answered(&self) {
        self.connected.set(1);
        if self.loss_told.swap(false, Ordering::Relaxed) {
            tracing::info!(kind = %self.kind, "the API server is back");
        }
    }

    /// A list or a watch has failed, and will be tried again.
    pub(super) fn failed(&self, error: &watcher::Error) {
        if matches!(error, watcher::Error::WatchError(status) if status.code == GONE) {
            tracing::debug!(kind = %self.kind, "the watch fell behind and begins anew");
            return;
        }
        self.connected.set(0);
        if !self.loss_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                kind = %self.kind,
                %error,
                cause = root(error),
                "the API server tells of no changes; requests go where they went last"
            );
        }
    }
}

/// What is at the bottom of an error whose own text tells what is on top.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::core::Status;

    use super::*;

    fn link() -> Link {
        Link::new("things".into(), IntGauge::new("g", "g").unwrap())
    }

    #[test]
    fn a_loss_is_told_until_an_answer() {
        let link = link();
        link.answered();
        assert_eq!(link.connected.get(), 1);
        for _ in 0..2 {
            link.failed(&watcher::Error::NoResourceVersion);
            assert_eq!(link.connected.get(), 0);
            assert!(link.loss_told.load(Ordering::Relaxed));
        }
        link.answered();
        assert_eq!(link.connected.get(), 1);
        assert!(!link.loss_told.load(Ordering::Relaxed));
    }

    #[test]
    fn a_watch_that_fell_behind_is_no_loss() {
        let link = link();
        link.answered();
        let status = |code| {
            let mut status = Status::failure("too old resource version", "Expired");
            status.code = code;
            watcher::Error::WatchError(status.boxed())
        };
        link.failed(&status(GONE));
        assert_eq!(link.connected.get(), 1);
        link.failed(&status(500));
        assert_eq!(link.connected.get(), 0);
    }
}
