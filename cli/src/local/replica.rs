//! One replica: a place that a server process lives in, life after life, until it is asked to go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::retry::{HEALTHY_AFTER, RESTART};
use chandler_core::snapshot::FailureSeen;
use chandler_core::validate::ModelKey;
use chandler_core::worker::WorkerSpec;
use chandler_gateway::Endpoint;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Local;
use super::life::{Ended, Life};
use crate::output::{Event, Phase, ReplicaEvent};

/// Above a server's own drain time, before it is ended by force.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// What a replica is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// Go on.
    Not,
    /// Finish what there is, and go.
    Drain,
    /// Go.
    Now,
}

/// What is known of a replica.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) phase: Phase,
    pub(super) pid: Option<u32>,
    /// Where this life listens, once it does.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) failure: Option<FailureSeen>,
}

impl View {
    pub(super) fn ready_endpoint(&self) -> Option<Endpoint> {
        self.endpoint.clone().filter(|_| self.phase == Phase::Ready)
    }
}

/// A handle on a replica's task.
pub(super) struct Replica {
    pub(super) number: u32,
    view: Arc<Mutex<View>>,
    stop: watch::Sender<Stop>,
    task: JoinHandle<()>,
}

impl Replica {
    pub(super) fn start(
        local: &Arc<Local>,
        key: &ModelKey,
        revision: &str,
        number: u32,
        worker: &WorkerSpec,
    ) -> Self {
        let view = View {
            phase: Phase::Starting,
            pid: None,
            endpoint: None,
            failure: None,
        };
        let view = Arc::new(Mutex::new(view));
        let (stop, stopping) = watch::channel(Stop::Not);
        let post = Post {
            local: Arc::clone(local),
            key: key.clone(),
            revision: revision.to_owned(),
            name: format!("{}-{revision}-{number}", key.name),
            worker: worker.clone(),
            view: Arc::clone(&view),
        };
        let task = tokio::spawn(supervise(post, stopping));
        Self {
            number,
            view,
            stop,
            task,
        }
    }

    pub(super) fn view(&self) -> View {
        lock(&self.view).clone()
    }

    /// Takes it out of the traffic and asks it to finish what it has.
    pub(super) fn drain(&self) {
        lock(&self.view).phase = Phase::Draining;
        self.stop.send_if_modified(|stop| {
            let fresh = *stop == Stop::Not;
            if fresh {
                *stop = Stop::Drain;
            }
            fresh
        });
    }

    pub(super) fn stopper(&self) -> watch::Sender<Stop> {
        self.stop.clone()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.task.is_finished()
    }

    /// Completes when its process is gone.
    pub(super) async fn gone(self) {
        // A task that panicked has dropped its process, which ends it.
        let _ = self.task.await;
    }
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a replica stands and whom it tells.
pub(super) struct Post {
    pub(super) local: Arc<Local>,
    key: ModelKey,
    revision: String,
    pub(super) name: String,
    pub(super) worker: WorkerSpec,
    view: Arc<Mutex<View>>,
}

impl Post {
    pub(super) fn phase(&self) -> Phase {
        lock(&self.view).phase
    }

    /// Keeps what matters to this replica alone.
    pub(super) fn note(&self, change: impl FnOnce(&mut View)) {
        change(&mut lock(&self.view));
    }

    /// Moves to a phase and tells everyone whom it concerns. A replica that drains only ends.
    pub(super) fn enter(&self, phase: Phase, change: impl FnOnce(&mut View)) {
        let view = {
            let mut view = lock(&self.view);
            let leaving = view.phase == Phase::Draining && phase != Phase::Stopped;
            view.phase = if leaving { Phase::Draining } else { phase };
            change(&mut view);
            view.clone()
        };
        self.local.changed(&self.key);
        let failure = view.failure.filter(|_| view.phase != Phase::Ready);
        self.local.tell(Event::Replica(ReplicaEvent {
            model: self.key.name.clone(),
            revision: self.revision.clone(),
            replica: self.name.clone(),
            phase: view.phase,
            pid: view.pid,
            reason: failure.as_ref().map(|failure| failure.reason.clone()),
            message: failure.map(|failure| failure.message),
        }));
    }
}

async fn supervise(post: Post, mut stop: watch::Receiver<Stop>) {
    let mut attempts: u32 = 0;
    let mut number: u64 = 0;
    loop {
        let ended = match Life::begin(&post, number) {
            Ok(mut life) => {
                let ended = life.run(&mut stop).await;
                if ended.is_none() {
                    post.enter(Phase::Draining, |_| {});
                    life.drain(limit(&post, &mut stop)).await;
                    break;
                }
                ended
            }
            Err(failed) => Some(failed),
        };
        let Some(Ended { failure, ready_for }) = ended else {
            break;
        };
        attempts = if ready_for >= HEALTHY_AFTER {
            1
        } else {
            attempts.saturating_add(1)
        };
        let delay = RESTART.delay_after(attempts, failure.transient, &post.name);
        let seen = FailureSeen {
            reason: failure.reason,
            message: failure.message,
            attempts,
            at: Timestamp::now(),
            transient: failure.transient,
        };
        post.enter(Phase::Failed, |view| {
            *view = View {
                phase: view.phase,
                pid: None,
                endpoint: None,
                failure: Some(seen),
            }
        });
        post.enter(Phase::Backoff, |_| {});
        if timeout(delay, asked(&mut stop, Stop::Drain)).await.is_ok() {
            break;
        }
        number += 1;
    }
    post.enter(Phase::Stopped, |view| view.pid = None);
}

/// Completes when the replica is asked to stop, at least as firmly as this. A handle that is gone
/// asks to drain.
pub(super) async fn asked(stop: &mut watch::Receiver<Stop>, firmness: Stop) {
    if stop.wait_for(|stop| *stop >= firmness).await.is_err() && firmness > Stop::Drain {
        std::future::pending::<()>().await;
    }
}

/// Completes when a draining server has had its time, or when it shall go at once.
async fn limit(post: &Post, stop: &mut watch::Receiver<Stop>) {
    tokio::select! {
        () = sleep(post.worker.drain + DRAIN_GRACE) => {}
        () = asked(stop, Stop::Now) => {}
    }
}
