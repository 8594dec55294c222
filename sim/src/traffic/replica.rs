//! One replica's engine, step by step: a queue, prompts computed in chunks, a batch that writes.
//!
//! Steps that differ in nothing are one run, so that an answer of a thousand tokens costs as much
//! to simulate as one of ten.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::model::ReplicaModel;

/// Nanoseconds since the simulation began.
pub(super) type Nanos = u64;

/// A request, as far as a replica knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    /// Its place in the trace.
    pub(super) id: u32,
    pub(super) prompt: u32,
    /// At least 1.
    pub(super) answer: u32,
    /// When it came to the gateway.
    pub(super) came: Nanos,
    /// When it came to the replica.
    pub(super) sent: Nanos,
}

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Requests whose first token is written.
    pub(super) first: Vec<Job>,
    /// Requests whose last is.
    pub(super) last: Vec<Job>,
    /// Queue time of requests that began, in nanoseconds.
    pub(super) begun: Vec<Nanos>,
}

/// Steps of equal length.
#[derive(Clone, Copy, Debug)]
struct Run {
    began: Nanos,
    step: Nanos,
    steps: u64,
}

#[derive(Debug)]
pub(super) struct Engine {
    model: Arc<ReplicaModel>,
    /// 1 for a replica like others.
    slowness: f64,
    queue: VecDeque<Job>,
    queued_tokens: u64,
    /// Requests whose prompts are computed, with the tokens left, and how many the run computes.
    prefill: VecDeque<(Job, u32, u32)>,
    /// Requests that write, by the step that writes their last token.
    writing: BinaryHeap<Reverse<(u64, Job)>>,
    steps: u64,
    kv_used: u64,
    run: Option<Run>,
    /// Changes whenever the run's end does.
    pub(super) epoch: u32,
    pub(super) prompt_tokens: u64,
    generated: u64,
}

impl Engine {
    pub(super) fn new(model: Arc<ReplicaModel>, slowness: f64) -> Self {
        Self {
            model,
            slowness,
            queue: VecDeque::new(),
            queued_tokens: 0,
            prefill: VecDeque::new(),
            writing: BinaryHeap::new(),
            steps: 0,
            kv_used: 0,
            run: None,
            epoch: 0,
            prompt_tokens: 0,
            generated: 0,
        }
    }

    /// From the next run on it takes so many times as long as others.
    pub(super) fn slow(&mut self, slowness: f64) {
        self.slowness = slowness;
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn running(&self) -> usize {
        self.prefill.len() + self.writing.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.waiting() + self.running()
    }

    /// Tokens of prompts that are still to be computed.
    pub(super) fn queued_tokens(&self) -> u64 {
        let begun: u64 = self
            .prefill
            .iter()
            .map(|(_, left, _)| u64::from(*left))
            .sum();
        self.queued_tokens + begun
    }

    /// Used share of the key-value cache.
    pub(super) fn kv_usage(&self) -> f64 {
        self.kv_used as f64 / self.model.kv_tokens as f64
    }

    /// Most sequences at a time.
    pub(super) fn most_running(&self) -> f64 {
        f64::from(self.model.max_batch)
    }

    /// Tokens written by `now`.
    pub(super) fn generated(&self, now: Nanos) -> u64 {
        let begun = self.run.map_or(0, |run| {
            let whole = now.saturating_sub(run.began) / run.step;
            whole.min(run.steps) * self.writing.len() as u64
        });
        self.generated + begun
    }

    /// When the run ends.
    pub(super) fn end(&self) -> Option<Nanos> {
        self.run.map(|run| run.began + run.step * run.steps)
    }

    /// Takes a request; gives it back if the queue is full. The run's end may become another.
    pub(super) fn take(&mut self, job: Job, now: Nanos, ended: &mut Ended) -> Result<(), Job> {
        if self.queue.len() >= self.model.max_queue as usize && self.run.is_some() {
            return Err(job);
        }
        self.queue.push_back(job);
        self.queued_tokens += u64::from(job.prompt);
        let joins = self.prefill.is_empty() && self.running_fits(&job);
        match &mut self.run {
            None => self.plan(now, ended),
            Some(run) if joins => {
                // A step that has begun goes on to its end.
                let steps = (now - run.began).div_ceil(run.step).max(1);
                if steps < run.steps {
                    run.steps = steps;
                    self.epoch += 1;
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Ends the run and begins the next, if there is something to do.
    pub(super) fn finish(&mut self, now: Nanos, ended: &mut Ended) {
        let Some(run) = self.run.take() else {
            return;
        };
        self.steps += run.steps;
        self.generated += run.steps * self.writing.len() as u64;
        for (_, left, chunk) in &mut self.prefill {
            *left -= *chunk;
            self.prompt_tokens += u64::from(*chunk);
            *chunk = 0;
        }
        while let Some((job, 0, _)) = self.prefill.front().copied() {
            self.prefill.pop_front();
            self.begin_writing(job, ended);
        }
        while let Some(Reverse((step, job))) = self.writing.peek().copied() {
            if step > self.steps {
                break;
            }
            self.writing.pop();
            self.leave(job, ended);
        }
        self.plan(now, ended);
    }

    /// All that it has, when it ends for a reason from without.
    pub(super) fn spill(&mut self) -> Vec<Job> {
        let mut all: Vec<Job> = self.queue.drain(..).collect();
        all.extend(self.prefill.drain(..).map(|(job, _, _)| job));
        all.extend(self.writing.drain().map(|Reverse((_, job))| job));
        (self.run, self.queued_tokens, self.kv_used) = (None, 0, 0);
        self.epoch += 1;
        all
    }

    /// The prompt's last chunk gives the first token.
    fn begin_writing(&mut self, job: Job, ended: &mut Ended) {
        ended.first.push(job);
        self.generated += 1;
        if job.answer <= 1 {
            return self.leave(job, ended);
        }
        self.writing
            .push(Reverse((self.steps + u64::from(job.answer) - 1, job)));
    }

    fn leave(&mut self, job: Job, ended: &mut Ended) {
        self.kv_used -= need(&job, &self.model);
        ended.last.push(job);
    }

    fn running_fits(&self, job: &Job) -> bool {
        self.running() < self.model.max_batch as usize
            && self.kv_used + need(job, &self.model) <= self.model.kv_tokens
    }

    /// Begins a run: one step while prompts are computed, else as many as change nothing.
    fn plan(&mut self, now: Nanos, ended: &mut Ended) {
        let writing = self.writing.len();
        let mut room = self.model.max_step_tokens.saturating_sub(writing as u32);
        let budget = room;
        for (_, left, chunk) in &mut self.prefill {
            *chunk = (*left).min(room);
            room -= *chunk;
        }
        while let Some(job) = self.queue.front().copied() {
            if room == 0 || !self.running_fits(&job) {
                break;
            }
            self.queue.pop_front();
            self.queued_tokens -= u64::from(job.prompt);
            self.kv_used += need(&job, &self.model);
            ended.begun.push(now - job.sent);
            let prompt = job.prompt.max(1);
            let chunk = prompt.min(room);
            room -= chunk;
            self.prefill.push_back((job, prompt, chunk));
        }
        let tokens = budget - room;
        let steps = match self.writing.peek() {
            _ if tokens > 0 => 1,
            Some(Reverse((last, _))) => last - self.steps,
            None => return,
        };
        let step = self.model.step(writing, tokens, self.slowness).as_nanos();
        self.run = Some(Run {
            began: now,
            step: u64::try_from(step).unwrap_or(u64::MAX).max(1),
            steps,
        });
        self.epoch += 1;
    }
}

/// Tokens of the cache that a request holds from its begin to its end; one that is larger than
/// the cache takes all of it.
fn need(job: &Job, model: &ReplicaModel) -> u64 {
    (u64::from(job.prompt) + u64::from(job.answer)).min(model.kv_tokens)
}
