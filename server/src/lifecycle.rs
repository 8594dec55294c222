//! Where the process stands: how far the model is loaded, whether new requests are welcome, and
//! how many are being answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use crate::engine::Deadline;

/// What the process does before, and once, it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finds out which files the source stands for.
    #[default]
    Resolving,
    /// Fetches them.
    Downloading,
    /// Checks their digests.
    Verifying,
    /// Reads the weights.
    Loading,
    /// Answers a first request of its own.
    Warming,
    /// Serves.
    Ready,
    /// Cannot serve this model.
    Failed,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 7] = [
        Self::Resolving,
        Self::Downloading,
        Self::Verifying,
        Self::Loading,
        Self::Warming,
        Self::Ready,
        Self::Failed,
    ];

    /// The word of the API and of the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// How far the load is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes of this phase that are done.
    pub bytes_done: u64,
    /// Bytes of this phase in all; 0 while unknown.
    pub bytes_total: u64,
    /// Time spent in each phase that is over, in seconds.
    #[serde(serialize_with = "in_seconds")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub phases: Vec<(Phase, Duration)>,
    /// A CamelCase word, once it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn in_seconds<S: Serializer>(phases: &[(Phase, Duration)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(phases.len()))?;
    for (phase, spent) in phases {
        map.serialize_entry(phase.as_str(), &spent.as_secs_f64())?;
    }
    map.end()
}

/// The progress, and when its phase began.
#[derive(Debug)]
struct Course {
    progress: Progress,
    since: Instant,
}

impl Course {
    /// Goes to a phase at `now`. A phase may come again: files verify while others download.
    fn enter(&mut self, phase: Phase, now: Instant) {
        let left = std::mem::replace(&mut self.progress.phase, phase);
        if left == phase {
            return;
        }
        let spent = now.saturating_duration_since(self.since);
        self.since = now;
        let phases = &mut self.progress.phases;
        match phases.iter_mut().find(|(known, _)| *known == left) {
            Some((_, before)) => *before += spent,
            None => phases.push((left, spent)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// What runs may finish; nothing new starts.
    Draining,
    /// What still runs ends now.
    Ending,
}

/// Why no ticket was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The model is not loaded yet.
    Loading(Phase),
    /// The process is about to end.
    Draining,
}

/// Shared by everything that serves.
#[derive(Debug)]
pub struct Lifecycle {
    course: Mutex<Course>,
    stage: watch::Sender<Stage>,
    in_flight: watch::Sender<usize>,
    /// When the last request ended, if one has.
    last_end: Mutex<Option<Instant>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            course: Mutex::new(Course {
                progress: Progress::default(),
                since: Instant::now(),
            }),
            stage: watch::Sender::new(Stage::Serving),
            in_flight: watch::Sender::new(0),
            last_end: Mutex::default(),
        }
    }
}

impl Lifecycle {
    /// How far the load is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.lock().progress.clone()
    }

    /// Enters a phase, or tells how far it is.
    pub fn advance(&self, phase: Phase, bytes_done: u64, bytes_total: u64) {
        let mut course = self.lock();
        course.enter(phase, Instant::now());
        course.progress.bytes_done = bytes_done;
        course.progress.bytes_total = bytes_total;
    }

    /// Enters a phase, and leaves the bytes as the last one told them.
    pub fn enter(&self, phase: Phase) {
        self.lock().enter(phase, Instant::now());
    }

    /// The model cannot be served.
    pub fn fail(&self, reason: &str, message: &str) {
        let progress = &mut self.lock().progress;
        // The phase that it failed in is not over.
        progress.phase = Phase::Failed;
        progress.reason = Some(reason.to_owned());
        progress.message = Some(message.to_owned());
    }

    /// Whether new requests are welcome.
    ///
    /// # Errors
    /// Why they are not.
    pub fn check(&self) -> Result<(), Closed> {
        let phase = self.lock().progress.phase;
        if *self.stage.borrow() != Stage::Serving {
            Err(Closed::Draining)
        } else if phase != Phase::Ready {
            Err(Closed::Loading(phase))
        } else {
            Ok(())
        }
    }

    /// Lets one request in; it is in flight until the ticket is dropped.
    ///
    /// # Errors
    /// Why new requests are not welcome.
    pub fn admit(self: &Arc<Self>) -> Result<Ticket, Closed> {
        // Counted before it is checked, so that a drain that starts in between waits for it.
        self.in_flight.send_modify(|count| *count += 1);
        let ticket = Ticket {
            lifecycle: Arc::clone(self),
            stage: self.stage.subscribe(),
            deadline: Deadline::NEVER,
        };
        self.check()?;
        Ok(ticket)
    }

    /// Welcomes no more requests.
    pub fn drain(&self) {
        self.raise(Stage::Draining);
    }

    /// Ends what still runs.
    pub fn end(&self) {
        self.raise(Stage::Ending);
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }

    /// Requests being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    /// How long no request has been in flight: since the last one ended or, where none came, since
    /// the model was ready. Nothing before it is.
    #[must_use]
    pub fn rest(&self) -> Duration {
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let Course { progress, since } = &*self.lock();
        if progress.phase != Phase::Ready {
            return Duration::ZERO;
        }
        let last_end = self.last_end();
        last_end.unwrap_or(*since).max(*since).elapsed()
    }

    fn raise(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let later = *stage < to;
            if later {
                *stage = to;
            }
            later
        });
    }

    fn lock(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_end(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's right to be answered.
#[derive(Debug)]
pub struct Ticket {
    lifecycle: Arc<Lifecycle>,
    stage: watch::Receiver<Stage>,
    deadline: Deadline,
}

/// Why a request has to end now, finished or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process ends.
    ShutDown,
    /// The request's time is up.
    TimeIsUp,
}

impl Ticket {
    /// The same right, for a time.
    #[must_use]
    pub fn until(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// When the request's time is up.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Resolves when the request has to end now, finished or not.
    pub async fn ended(&self) -> Ending {
        let mut stage = self.stage.clone();
        tokio::select! {
            // The sender lives in `self.lifecycle`, so the wait cannot fail.
            _ = stage.wait_for(|stage| *stage == Stage::Ending) => Ending::ShutDown,
            () = self.deadline.passed() => Ending::TimeIsUp,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // First, so that whoever sees it in flight no more knows when it ended.
        *self.lifecycle.last_end() = Some(Instant::now());
        self.lifecycle.in_flight.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_that_is_over_tells_its_time() {
        let start = Instant::now();
        let mut course = Course {
            progress: Progress::default(),
            since: start,
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        course.enter(Phase::Downloading, at(1));
        course.enter(Phase::Downloading, at(2));
        course.enter(Phase::Verifying, at(4));
        course.enter(Phase::Downloading, at(5));
        course.enter(Phase::Verifying, at(6));
        course.enter(Phase::Loading, at(8));
        let told = serde_json::to_value(&course.progress).unwrap();
        let expected = serde_json::json!({"resolving": 1.0, "downloading": 4.0, "verifying": 3.0});
        assert_eq!(told["phases"], expected);
        assert_eq!(told["phase"], "loading");
    }

    #[test]
    fn rest_begins_when_the_model_is_ready_and_anew_with_each_end() {
        let lifecycle = Arc::new(Lifecycle::default());
        assert!(lifecycle.admit().is_err());
        assert_eq!(lifecycle.rest(), Duration::ZERO, "it loads");
        let before = Instant::now();
        lifecycle.enter(Phase::Ready);
        let rest = lifecycle.rest();
        assert!(rest > Duration::ZERO && rest <= before.elapsed());
        let tickets = [(); 2].map(|()| lifecycle.admit().unwrap());
        for ticket in tickets {
            assert_eq!(lifecycle.rest(), Duration::ZERO, "one is in flight");
            let before = Instant::now();
            drop(ticket);
            assert!(lifecycle.rest() <= before.elapsed());
        }
        assert!(lifecycle.rest() > Duration::ZERO);
    }

    #[tokio::test]
    async fn a_drain_waits_for_those_let_in_and_lets_no_more_in() {
        let lifecycle = Arc::new(Lifecycle::default());
        let early = lifecycle.admit().err();
        assert_eq!(early, Some(Closed::Loading(Phase::Resolving)));
        lifecycle.enter(Phase::Ready);
        let ticket = lifecycle.admit().unwrap();
        lifecycle.drain();
        assert_eq!(lifecycle.admit().err(), Some(Closed::Draining));
        assert_eq!(lifecycle.in_flight(), 1);
        lifecycle.end();
        assert_eq!(ticket.ended().await, Ending::ShutDown);
        drop(ticket);
        lifecycle.idle().await;
        lifecycle.drain();
        assert_eq!(lifecycle.check(), Err(Closed::Draining));
    }
}
