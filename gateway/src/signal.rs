//! Something that is told once, to everyone.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// What is told once. To see whether it has been takes no lock. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal {
    given: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Until it is given.
    pub(crate) async fn given(&self) {
        self.token.cancelled().await;
    }

    pub(crate) fn ear(&self) -> Ear<'_> {
        Ear {
            signal: self,
            waits: Box::pin(self.token.cancelled()),
            listens: false,
        }
    }
}

/// One task's wait for a signal, kept for all the task's life. Every wait of its own for each of
/// its requests would take a lock that all tasks share, to begin and to end.
pub(crate) struct Ear<'a> {
    signal: &'a Signal,
    waits: Pin<Box<WaitForCancellationFuture<'a>>>,
    listens: bool,
}

impl fmt::Debug for Ear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ear").field(self.signal).finish()
    }
}

impl Ear<'_> {
    /// Ready once the signal is given. The task that polled first is the one that is woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.listens {
            self.listens = true;
            return self.waits.as_mut().poll(cx);
        }
        match self.signal.is_given() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn who_listens_is_woken_however_often_it_looked() {
        let signal = Signal::default();
        let (looked, seen) = tokio::sync::oneshot::channel();
        let task = tokio::spawn({
            let signal = signal.clone();
            async move {
                let (mut ear, mut looked) = (signal.ear(), Some(looked));
                poll_fn(|cx| {
                    let heard = ear.poll(cx).is_ready() || ear.poll(cx).is_ready();
                    looked.take().map(|looked| looked.send(heard));
                    ear.poll(cx)
                })
                .await;
                ear.poll(&mut Context::from_waker(std::task::Waker::noop()))
            }
        });
        assert!(!seen.await.unwrap());
        signal.give();
        assert!(task.await.unwrap().is_ready());
        signal.given().await;
        assert!(signal.is_given());
    }
}
