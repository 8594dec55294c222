//! One task's timer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Rings at a moment that may be moved. To set it for a later moment than before, as each request
/// of a connection does, is cheap, where a timer of its own for each would be hung up and taken
/// down again.
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    listens: bool,
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm")
            .field(&self.sleep.deadline())
            .finish()
    }
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Self {
        Self {
            sleep: Box::pin(sleep(time)),
            listens: false,
        }
    }

    pub(crate) fn set(&mut self, moment: Instant) {
        if self.sleep.deadline() != moment {
            self.sleep.as_mut().reset(moment);
        }
    }

    /// Ready once the moment has come. The task that polled first is the one that is woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Who listens is woken; to ask the timer again would be to tell it again by whom.
        if self.listens && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.listens = true;
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    const HANG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn rings_at_the_moment_that_was_set_last() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut alarm = Alarm::after(HANG);
        for (set, millis) in [(vec![5], 5), (vec![20, 30], 30), (vec![60_000, 40], 40)] {
            for moment in set {
                alarm.set(at(moment));
                poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await.is_pending();
            }
            timeout(HANG, poll_fn(|cx| alarm.poll(cx))).await.unwrap();
            assert!(Instant::now() >= at(millis));
        }
    }
}
