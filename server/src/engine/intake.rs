//! The side of an engine that the rest of the process sees: its queue, its load, its pulse.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{
    Abandon, Engine, EngineStats, Heartbeat, Liveness, Popped, PushError, Queue, QueueBounds,
    Refused, Stats,
};

/// How often an idle engine shows that it is alive.
const IDLE_BEAT: Duration = Duration::from_secs(1);

/// Shared by those who bring jobs and the engine's thread, which takes them.
#[derive(Debug)]
pub struct Intake<J> {
    queue: Queue<J>,
    /// Kept by the engine's thread.
    pub stats: Stats,
    /// Kept by the engine's thread.
    pub heartbeat: Heartbeat,
}

impl<J: Abandon + Send + 'static> Intake<J> {
    /// Starts an engine's thread, which `run`s until the intake is closed and its queue empty.
    /// Jobs wait within `bounds`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        bounds: QueueBounds,
        thread_name: &str,
        run: impl FnOnce(&Self) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let intake = Arc::new(Self {
            queue: Queue::new(bounds),
            stats: Stats::default(),
            heartbeat: Heartbeat::default(),
        });
        let shared = Arc::clone(&intake);
        let watch = intake.heartbeat.death_watch();
        let thread = thread::Builder::new().name(thread_name.to_owned());
        thread.spawn(move || {
            let _watch = watch;
            run(&shared);
        })?;
        Ok(intake)
    }

    /// Queues a job.
    ///
    /// # Errors
    /// When the queue is full or the engine has stopped.
    pub fn submit(&self, job: J) -> Result<(), Refused> {
        if self.liveness() == Liveness::Dead {
            return Err(Refused::Stopped);
        }
        self.queue.push(job).map_err(|error| self.refuse(error))
    }

    /// The next job for the engine's thread. With `wait` it is waited for, as long as an idle
    /// engine may go without a beat.
    pub fn take(&self, wait: bool) -> Popped<J> {
        self.queue
            .pop(if wait { IDLE_BEAT } else { Duration::ZERO })
    }

    /// All jobs for the engine's thread, which has its own order for them. Each counts as waiting until
    /// it has [`Intake::left`].
    pub fn take_all(&self, wait: bool) -> Popped<Vec<J>> {
        self.queue
            .drain(if wait { IDLE_BEAT } else { Duration::ZERO })
    }

    /// One of those jobs, with so many tokens, waits no more.
    pub fn left(&self, tokens: usize) {
        self.queue.left(tokens);
    }

    /// Takes no more jobs.
    pub fn close(&self) {
        self.queue.close();
    }

    fn refuse(&self, error: PushError) -> Refused {
        match error {
            PushError::Full { waiting } => Refused::Busy {
                waiting,
                retry_after: self.stats.retry_after(waiting),
            },
            PushError::Closed => Refused::Stopped,
        }
    }
}

impl<J: Abandon + Send + 'static> Engine for Intake<J> {
    fn stats(&self) -> EngineStats {
        self.stats.snapshot(self.queue.load())
    }

    fn liveness(&self) -> Liveness {
        self.heartbeat.liveness()
    }

    fn check_room(&self) -> Result<(), Refused> {
        let room = self.queue.check_room();
        room.map_err(|error| self.refuse(error))
    }

    fn retry_after(&self) -> Duration {
        self.stats.retry_after(self.queue.len())
    }

    fn queue_capacity(&self) -> usize {
        self.queue.capacity()
    }
}
