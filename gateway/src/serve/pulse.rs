use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::config::Pace;

/// Where one connection stands, and since when: what is needed to end one whose caller is slow on
/// purpose. A timer for each head and each body would be set and taken back with every request.
/// Instead the moments are noted, and one slow clock a connection looks whether one is long ago.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    body: Option<BodyPulse>,
    /// Since when the caller takes no byte of what is written.
    write_blocked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No byte of a next request has come.
    Idle(Instant),
    /// The head of a request has begun.
    Head(Instant),
    /// A request is being read, worked on or answered.
    Busy,
}

/// A request's body that is waited for.
#[derive(Debug)]
struct BodyPulse {
    began: Instant,
    last: Instant,
    bytes: u64,
    waiting: Option<Waker>,
}

/// Why a connection ends before its caller ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing was asked for some time.
    Idle,
    /// A head began and did not end.
    Head,
    /// The caller does not take its answer.
    Writing,
}

impl Overdue {
    /// A stable word for metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "slowHead",
            Self::Writing => "slowReader",
        }
    }
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            phase: Phase::Idle(now),
            body: None,
            write_blocked: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came. The clock is read only where they begin a head.
    pub(super) fn bytes_came(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Idle(_)) {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// A head is whole.
    pub(super) fn request_came(&self) {
        self.state().phase = Phase::Busy;
    }

    /// An answer is complete, or given up.
    pub(super) fn request_ended(&self, now: Instant) {
        self.state().phase = Phase::Idle(now);
    }

    pub(super) fn write_blocked(&self, now: Instant) {
        self.state().write_blocked.get_or_insert(now);
    }

    pub(super) fn write_went_on(&self) {
        self.state().write_blocked = None;
    }

    /// The body is waited for. False if it has been too slow: it is waited for no longer.
    pub(super) fn body_waits(&self, waker: &Waker, now: Instant, pace: &Pace) -> bool {
        let mut state = self.state();
        let body = state.body.get_or_insert_with(|| BodyPulse {
            began: now,
            last: now,
            bytes: 0,
            waiting: None,
        });
        if body.is_overdue(now, pace) {
            return false;
        }
        match &mut body.waiting {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    /// More of the body came.
    pub(super) fn body_came(&self, bytes: usize) {
        // The clock is read only where the body had to be waited for.
        if let Some(body) = &mut self.state().body {
            body.last = Instant::now();
            body.bytes = body.bytes.saturating_add(bytes as u64);
        }
    }

    /// The body is whole, or nobody waits for it any more.
    pub(super) fn body_ended(&self) {
        self.state().body = None;
    }

    /// Completes when the connection must end. Whoever waits for a body that is too slow is woken,
    /// and can still answer.
    pub(super) async fn overdue(&self, pace: &Pace) -> Overdue {
        let tick = pace.shortest() / 2;
        // It is polled whenever anything comes by the connection.
        let mut clock = Alarm::after(tick);
        loop {
            poll_fn(|cx| clock.poll(cx)).await;
            let now = Instant::now();
            if let Some(overdue) = self.look(now, pace) {
                return overdue;
            }
            clock.set(now + tick);
        }
    }

    /// Whether the connection must end; wakes who waits for a body that is too slow.
    pub(super) fn look(&self, now: Instant, pace: &Pace) -> Option<Overdue> {
        let mut state = self.state();
        if let Some(body) = &mut state.body
            && body.is_overdue(now, pace)
            && let Some(waiting) = body.waiting.take()
        {
            waiting.wake();
        }
        let longer = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state
            .write_blocked
            .is_some_and(|since| longer(since, pace.write_pause))
        {
            return Some(Overdue::Writing);
        }
        match state.phase {
            Phase::Idle(since) if longer(since, pace.idle) => Some(Overdue::Idle),
            Phase::Head(since) if longer(since, pace.head) => Some(Overdue::Head),
            _ => None,
        }
    }
}

impl BodyPulse {
    /// A pause may not be too long, nor the whole too slow: a byte now and then would keep a
    /// connection for ever.
    fn is_overdue(&self, now: Instant, pace: &Pace) -> bool {
        let paused = now.saturating_duration_since(self.last);
        let earned = Duration::from_secs(self.bytes / pace.body_rate.max(1));
        let took = now.saturating_duration_since(self.began);
        paused > pace.body_pause || took > pace.body_pause + earned
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    const PACE: Pace = Pace {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        body_pause: Duration::from_secs(20),
        body_rate: 1000,
        write_pause: Duration::from_secs(60),
    };

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn after(seconds: u64, began: Instant) -> Instant {
        began + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_connection_has_longer_than_a_head_that_has_begun() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        assert_eq!(pulse.look(after(74, began), &PACE), None);
        assert_eq!(pulse.look(after(76, began), &PACE), Some(Overdue::Idle));
        pulse.bytes_came();
        let head = Instant::now();
        // Not each byte buys more time.
        pulse.bytes_came();
        assert_eq!(pulse.look(after(9, head), &PACE), None);
        assert_eq!(pulse.look(after(11, head), &PACE), Some(Overdue::Head));
    }

    #[test]
    fn a_request_may_take_its_time_and_then_the_connection_is_idle_anew() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        pulse.request_came();
        pulse.bytes_came();
        assert_eq!(pulse.look(after(3600, began), &PACE), None);
        pulse.request_ended(after(3600, began));
        assert_eq!(pulse.look(after(3670, began), &PACE), None);
        assert_eq!(pulse.look(after(3676, began), &PACE), Some(Overdue::Idle));
    }

    #[test]
    fn a_caller_that_takes_nothing_is_left() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        pulse.request_came();
        pulse.write_blocked(began);
        pulse.write_blocked(after(59, began));
        assert_eq!(pulse.look(after(61, began), &PACE), Some(Overdue::Writing));
        pulse.write_went_on();
        assert_eq!(pulse.look(after(61, began), &PACE), None);
    }

    #[test]
    fn a_body_that_pauses_too_long_wakes_who_waits_for_it() {
        let (began, woken) = (Instant::now(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let pulse = Pulse::new(began);
        pulse.request_came();
        assert!(pulse.body_waits(&waker, began, &PACE));
        assert_eq!(pulse.look(after(19, began), &PACE), None);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(
            pulse.look(after(21, began), &PACE),
            None,
            "a 408 comes first"
        );
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(!pulse.body_waits(&waker, after(21, began), &PACE));
        pulse.body_ended();
        assert!(
            pulse.body_waits(&waker, after(22, began), &PACE),
            "another body"
        );
    }

    #[test]
    fn bytes_earn_time_and_a_trickle_does_not() {
        let began = Instant::now();
        let trickle = |bytes, last| BodyPulse {
            began,
            last: after(last, began),
            bytes,
            waiting: None,
        };
        assert!(!trickle(5_000, 10).is_overdue(after(25, began), &PACE));
        assert!(trickle(5_000, 20).is_overdue(after(26, began), &PACE));
        assert!(trickle(10, 20).is_overdue(after(21, began), &PACE));
        assert!(
            trickle(1_000_000, 10).is_overdue(after(31, began), &PACE),
            "a pause"
        );
    }
}
