//! Text generation in continuous batches on one thread: sequences join and leave between steps.

mod job;
mod sequence;

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokenizers::Tokenizer;
use tracing::Span;

use job::{Ended, Job};
use sequence::{Sequence, Wrote};

use super::pace::Pace;
use super::schedule::{Arrival, Limits, Schedule, SequenceId};
use super::{
    Abandon, Engine, EngineError, EventStream, GenerateRequest, Intake, Popped, QueueBounds,
    Recorder, Refused, TextEngine, schedule,
};
use crate::metrics::Metrics;
use crate::models::{CausalLm, Chunk};

/// Writes several sequences at a time, in the order of the [schedule].
#[derive(Debug)]
pub struct BatchingEngine {
    intake: Arc<Intake<Job>>,
    metrics: Arc<Metrics>,
    context: usize,
}

/// What an engine may have in hand.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most sequences that are computed together.
    pub sequences: usize,
    /// What may wait.
    pub queue: QueueBounds,
}

impl BatchingEngine {
    /// Starts the engine's thread; it ends when the engine is dropped. Any of `end_tokens` ends an answer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        lm: Box<dyn CausalLm>,
        tokenizer: Arc<Tokenizer>,
        end_tokens: Vec<u32>,
        limits: BatchLimits,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let context = lm.context();
        let (cache, step_tokens) = (lm.cache(), lm.step_tokens());
        let sequences = limits.sequences.max(1);
        let mut batcher = Batcher {
            lm,
            context,
            tokenizer,
            end_tokens,
            most: sequences,
            pace: Pace::new(step_tokens),
            schedule: Schedule::new(Limits {
                sequences,
                blocks: cache.blocks,
                block_tokens: cache.block_tokens,
            }),
            sequences: BTreeMap::new(),
            metrics: Arc::clone(&metrics),
        };
        let run = move |intake: &Intake<Job>| batcher.run(intake);
        Ok(Self {
            intake: Intake::start(limits.queue, "text-engine", run)?,
            metrics,
            context,
        })
    }
}

impl TextEngine for BatchingEngine {
    fn engine(&self) -> &dyn Engine {
        &*self.intake
    }

    fn context(&self) -> usize {
        self.context
    }

    fn submit(&self, request: GenerateRequest) -> Result<EventStream, Refused> {
        let (events, stream) = EventStream::channel();
        self.intake.submit(Job {
            recorder: Recorder::arrive(request.measured.then(|| Arc::clone(&self.metrics))),
            request,
            events,
            span: Span::current(),
        })?;
        Ok(stream)
    }
}

impl Drop for BatchingEngine {
    fn drop(&mut self) {
        self.intake.close();
    }
}

/// What a step gave after the tokens of which it is wanted.
type Logits = Vec<Vec<f32>>;

/// What the engine's thread owns.
struct Batcher {
    lm: Box<dyn CausalLm>,
    context: usize,
    tokenizer: Arc<Tokenizer>,
    end_tokens: Vec<u32>,
    /// Sequences that are computed together at most.
    most: usize,
    schedule: Schedule,
    pace: Pace,
    /// All that are not over, those that wait among them.
    sequences: BTreeMap<SequenceId, Sequence>,
    metrics: Arc<Metrics>,
}

impl Batcher {
    fn run(&mut self, intake: &Intake<Job>) {
        intake.stats.set_most_running(self.most);
        loop {
            intake.heartbeat.beat();
            // Sleeps only when there is nothing to do.
            match intake.take_all(self.sequences.is_empty()) {
                Popped::Item(jobs) => jobs.into_iter().for_each(|job| self.arrive(job, intake)),
                Popped::Closed if self.sequences.is_empty() => return,
                Popped::Idle | Popped::Closed => {}
            }
            self.drop_abandoned(intake);
            if !self.sequences.is_empty() {
                self.step(intake);
            }
        }
    }

    fn arrive(&mut self, job: Job, intake: &Intake<Job>) {
        let prompt = &job.request.prompt;
        let room = self.context.saturating_sub(prompt.len());
        if prompt.is_empty() || room == 0 {
            let problem = format!("a prompt of {} tokens leaves no room", prompt.len());
            intake.left(job.tokens());
            return job.conclude(Err(EngineError::Model(problem)));
        }
        let id = self.schedule.arrive(Arrival {
            caller: job.request.standing.caller,
            priority: job.request.standing.priority,
            prompt: prompt.clone(),
            scored: job.request.scores_prompt(),
        });
        let most = job.request.max_tokens.min(room);
        let sequence = Sequence::new(job, most, Arc::clone(&self.tokenizer));
        self.sequences.insert(id, sequence);
    }

    fn drop_abandoned(&mut self, intake: &Intake<Job>) {
        let all = self.sequences.iter();
        let gone = all.filter(|(_, it)| it.job.is_abandoned());
        let gone: Vec<SequenceId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            self.end(id, Ok(Ended::Abandoned), intake);
        }
    }

    fn step(&mut self, intake: &Intake<Job>) {
        let step = self
            .schedule
            .step(self.pace.budget(self.schedule.writing()));
        self.metrics
            .preemptions
            .inc_by(step.taken_back.len() as u64);
        self.begin(&step.chunks, intake);
        intake.stats.set_cache(self.schedule.cache_usage());
        let began = Instant::now();
        match self.compute(&step.chunks) {
            Ok(logits) => {
                let (writing, read) = tokens(&step.chunks);
                self.pace.took(writing, read, began.elapsed());
                let pace = &self.pace;
                intake
                    .stats
                    .set_rates(pace.prefill_rate(), pace.decode_rate());
                self.hand_out(&step.chunks, logits, intake);
            }
            Err(error) => match &step.chunks[..] {
                [alone] => {
                    self.schedule.failed(&[]);
                    self.end(alone.id, Err(error), intake);
                }
                several => self.one_by_one(several, intake),
            },
        }
    }

    /// Those that are computed for the first time wait no more.
    fn begin(&mut self, chunks: &[schedule::Chunk], intake: &Intake<Job>) {
        for chunk in chunks {
            if let Some(sequence) = self.sequences.get_mut(&chunk.id)
                && sequence.begin()
            {
                intake.left(sequence.job.tokens());
            }
        }
        intake.stats.set_running(self.running());
    }

    fn running(&self) -> usize {
        let all = self.sequences.values();
        all.filter(|it| it.begun_for().is_some()).count()
    }

    /// Finds out which of several chunks fails. Those before it go on; those after it may have been to
    /// read what it was to write, and are computed anew.
    fn one_by_one(&mut self, chunks: &[schedule::Chunk], intake: &Intake<Job>) {
        for (at, chunk) in chunks.iter().enumerate() {
            let alone = std::slice::from_ref(chunk);
            match self.compute(alone) {
                Ok(logits) => self.hand_out(alone, logits, intake),
                Err(error) => {
                    let later: Vec<_> = chunks[at + 1..].iter().map(|chunk| chunk.id).collect();
                    self.schedule.failed(&later);
                    return self.end(chunk.id, Err(error), intake);
                }
            }
        }
    }

    fn compute(&mut self, chunks: &[schedule::Chunk]) -> Result<Logits, EngineError> {
        let schedule = &self.schedule;
        let chunks = chunks.iter().flat_map(|chunk| parts(schedule, chunk));
        let chunks: Vec<Chunk<'_>> = chunks.collect();
        let lm = &mut self.lm;
        let computed = catch_unwind(AssertUnwindSafe(|| lm.forward(&chunks)?.to_vec2()));
        Ok(computed.map_err(|_| EngineError::Panicked)??)
    }

    fn hand_out(&mut self, chunks: &[schedule::Chunk], logits: Logits, intake: &Intake<Job>) {
        let mut logits = logits.into_iter();
        for chunk in chunks {
            let Some(sequence) = self.sequences.get_mut(&chunk.id) else {
                continue;
            };
            let given: Logits = logits.by_ref().take(chunk.logits()).collect();
            match sequence.computed(chunk, &given, &self.end_tokens) {
                Ok(None) => {}
                Ok(Some(Wrote::Token(token))) => self.schedule.wrote(chunk.id, token),
                Ok(Some(Wrote::Last(reason))) => {
                    self.end(chunk.id, Ok(Ended::Finished(reason)), intake);
                }
                Err(error) => self.end(chunk.id, Err(error), intake),
            }
        }
    }

    fn end(&mut self, id: SequenceId, ended: Result<Ended, EngineError>, intake: &Intake<Job>) {
        self.schedule.end(id);
        let running = self.running();
        let Some(sequence) = self.sequences.remove(&id) else {
            return;
        };
        // Before the answer goes out: who has it must not read that it is still computed.
        match sequence.begun_for() {
            Some(time) => {
                let beside = u32::try_from(running).unwrap_or(u32::MAX).max(1);
                intake.stats.served(time / beside);
                intake.stats.set_running(running.saturating_sub(1));
            }
            None => intake.left(sequence.job.tokens()),
        }
        intake.stats.set_cache(self.schedule.cache_usage());
        sequence.job.conclude(ended);
    }
}

/// A chunk as the model takes it: token by token where the logits after each are wanted.
fn parts<'a>(schedule: &'a Schedule, chunk: &schedule::Chunk) -> Vec<Chunk<'a>> {
    let Some((tokens, blocks)) = schedule.sequence(chunk.id) else {
        return Vec::new();
    };
    let all = chunk.positions.len();
    let size = if chunk.scored { 1 } else { all }.max(1);
    let parts = tokens[chunk.positions.clone()].chunks(size);
    let parts = (chunk.positions.start..).step_by(size).zip(parts);
    let part = |(position, tokens)| Chunk {
        tokens,
        position,
        blocks,
        writes: chunk.scored || chunk.writes,
    };
    parts.map(part).collect()
}

/// How many sequences write in a step, and how many tokens of prompts it reads beside.
fn tokens(chunks: &[schedule::Chunk]) -> (usize, usize) {
    let writes = |chunk: &&schedule::Chunk| chunk.writes && chunk.positions.len() == 1;
    let writing = chunks.iter().filter(writes).count();
    let all: usize = chunks.iter().map(|chunk| chunk.positions.len()).sum();
    (writing, all - writing)
}

#[cfg(test)]
mod tests;
