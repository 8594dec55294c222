//! Embeddings in batches by token budget: no timer, the next batch gathers while the device runs.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{
    Abandon, Deadline, Engine, EngineError, FinishReason, Intake, Popped, QueueBounds, Recorder,
    Refused, Stats,
};
use crate::metrics::Metrics;
use crate::models::Embedder;

/// Most tokens in a batch, unless its first text alone has more.
const BATCH_TOKENS: usize = 16_384;

/// One vector for each text of a request, in order.
pub type Vectors = Vec<Vec<f32>>;
/// What a request gets in the end.
pub type Answer = Result<Vectors, EngineError>;

/// Embeds texts in batches that span requests, first come, first served.
#[derive(Debug)]
pub struct EmbeddingEngine {
    intake: Arc<Intake<Job>>,
    metrics: Arc<Metrics>,
}

impl EmbeddingEngine {
    /// Starts the engine's thread; it ends when the engine is dropped. `queue` bounds what
    /// waits, and at most `max_batch` texts are computed together.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        embedder: Box<dyn Embedder>,
        max_batch: Option<usize>,
        queue: QueueBounds,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let mut batcher = Batcher {
            embedder,
            max_batch: max_batch.unwrap_or(usize::MAX).max(1),
            started: VecDeque::new(),
        };
        let run = move |intake: &Intake<Job>| batcher.run(intake);
        Ok(Self {
            intake: Intake::start(queue, "embedding-engine", run)?,
            metrics,
        })
    }

    /// What it tells about itself.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        &*self.intake
    }

    /// Queues the token ids of a request's texts. Dropping the receiver cancels them, and so does
    /// the deadline.
    ///
    /// # Errors
    /// When the queue is full or the engine has stopped.
    pub fn submit(
        &self,
        inputs: Vec<Vec<u32>>,
        measured: bool,
        deadline: Deadline,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let (answer, receiver) = oneshot::channel();
        self.intake.submit(Job {
            vectors: Vec::with_capacity(inputs.len()),
            inputs,
            taken: 0,
            recorder: Recorder::arrive(measured.then(|| Arc::clone(&self.metrics))),
            answer,
            deadline,
        })?;
        Ok(receiver)
    }
}

impl Drop for EmbeddingEngine {
    fn drop(&mut self) {
        self.intake.close();
    }
}

#[derive(Debug)]
struct Job {
    inputs: Vec<Vec<u32>>,
    /// Inputs at the front that a batch has taken; as many vectors come back.
    taken: usize,
    vectors: Vectors,
    recorder: Recorder,
    answer: oneshot::Sender<Answer>,
    deadline: Deadline,
}

impl Abandon for Job {
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed() || self.deadline.is_over()
    }

    fn tokens(&self) -> usize {
        tokens(&self.inputs)
    }

    fn abandon(self) {
        if self.deadline.is_over() {
            self.recorder.time_out();
            // Who waits may have seen it first, and gone.
            let _ = self.answer.send(Err(EngineError::TimeIsUp));
        } else {
            self.recorder.abort();
        }
    }
}

impl Job {
    fn tokens_left(&self) -> usize {
        tokens(&self.inputs[self.taken..])
    }

    /// True while a batch computes texts of it.
    fn is_touched(&self) -> bool {
        self.taken > self.vectors.len()
    }

    fn is_complete(&self) -> bool {
        self.vectors.len() == self.inputs.len()
    }

    fn conclude(self, error: Option<EngineError>) {
        if self.deadline.is_over() {
            return self.abandon();
        }
        let answer = match error {
            None => {
                self.recorder.finish(FinishReason::Stop);
                Ok(self.vectors)
            }
            Some(error) => {
                self.recorder.fail();
                Err(error)
            }
        };
        // A client that has gone by now misses nothing.
        let _ = self.answer.send(answer);
    }
}

/// What the engine's thread owns.
struct Batcher {
    embedder: Box<dyn Embedder>,
    max_batch: usize,
    /// Requests out of the queue whose texts are not all computed yet.
    started: VecDeque<Job>,
}

impl Batcher {
    fn run(&mut self, intake: &Intake<Job>) {
        loop {
            intake.heartbeat.beat();
            if !self.admit(intake) {
                return;
            }
            intake.stats.set_running(self.started.len());
            if !self.started.is_empty() {
                self.compute(&intake.stats);
            }
        }
    }

    /// Takes what waits until a batch is full; sleeps only when there is nothing to do. False
    /// when there never will be.
    fn admit(&mut self, intake: &Intake<Job>) -> bool {
        self.drop_abandoned();
        let mut tokens: usize = self.started.iter().map(Job::tokens_left).sum();
        while tokens < BATCH_TOKENS {
            match intake.take(self.started.is_empty()) {
                Popped::Item(job) => {
                    job.recorder.start();
                    tokens += job.tokens_left();
                    self.started.push_back(job);
                }
                Popped::Idle => return true,
                Popped::Closed => return !self.started.is_empty(),
            }
        }
        true
    }

    fn drop_abandoned(&mut self) {
        for job in std::mem::take(&mut self.started) {
            if job.is_abandoned() {
                job.abandon();
            } else {
                self.started.push_back(job);
            }
        }
    }

    fn compute(&mut self, stats: &Stats) {
        let began = Instant::now();
        let batch = take_batch(&mut self.started, self.max_batch);
        let embedder = &mut self.embedder;
        let result = catch_unwind(AssertUnwindSafe(|| embedder.embed(&batch)));
        let result = match result {
            Ok(Ok(vectors)) => check(vectors, batch.len()),
            Ok(Err(error)) => Err(EngineError::from(error)),
            Err(_) => Err(EngineError::Panicked),
        };
        let touched = self.started.iter().filter(|job| job.is_touched()).count();
        let share = u32::try_from(touched.max(1)).unwrap_or(u32::MAX);
        stats.served(began.elapsed() / share);
        match result {
            Ok(vectors) => self.hand_out(vectors, stats),
            Err(error) => self.fail(&error, stats),
        }
    }

    /// Gives the vectors of a batch to the requests that it took texts of.
    fn hand_out(&mut self, vectors: Vectors, stats: &Stats) {
        let mut vectors = vectors.into_iter();
        for job in self.started.iter_mut().filter(|job| job.is_touched()) {
            let fresh = job.vectors.len()..job.taken;
            job.recorder.prompt(tokens(&job.inputs[fresh.clone()]));
            job.vectors.extend(vectors.by_ref().take(fresh.len()));
        }
        self.conclude(Job::is_complete, None, stats);
    }

    /// Fails the requests that the batch took texts of.
    fn fail(&mut self, error: &EngineError, stats: &Stats) {
        tracing::error!(reason = error.reason(), %error, "a batch failed");
        self.conclude(Job::is_touched, Some(error), stats);
    }

    /// Ends the oldest requests as long as they are `over`.
    fn conclude(&mut self, over: fn(&Job) -> bool, error: Option<&EngineError>, stats: &Stats) {
        let still = self.started.iter().position(|job| !over(job));
        let count = still.unwrap_or(self.started.len());
        let ended: Vec<Job> = self.started.drain(..count).collect();
        // Before the answers go out: who has one must not read that it is still computed.
        stats.set_running(self.started.len());
        for job in ended {
            job.conclude(error.cloned());
        }
    }
}

/// Takes the next texts, oldest request first, within the budgets of a batch.
fn take_batch(jobs: &mut VecDeque<Job>, max_batch: usize) -> Vec<&[u32]> {
    let mut batch: Vec<&[u32]> = Vec::new();
    let mut budget = BATCH_TOKENS;
    for job in jobs {
        let Job { inputs, taken, .. } = job;
        for input in &inputs[*taken..] {
            let fits = input.len() <= budget || batch.is_empty();
            if !fits || batch.len() == max_batch {
                return batch;
            }
            budget = budget.saturating_sub(input.len());
            *taken += 1;
            batch.push(input);
        }
    }
    batch
}

fn check(vectors: Vectors, wanted: usize) -> Answer {
    if vectors.len() != wanted {
        let message = format!("it gave {} vectors for {wanted} texts", vectors.len());
        return Err(EngineError::Model(message));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return Err(EngineError::Model("its vectors are not finite".to_owned()));
    }
    Ok(vectors)
}

fn tokens(inputs: &[Vec<u32>]) -> usize {
    inputs.iter().map(Vec::len).sum()
}

#[cfg(test)]
mod tests;
