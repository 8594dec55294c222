//! Text generation, one sequence at a time on one thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use tokenizers::Tokenizer;
use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;

use super::{
    Abandon, Detokenizer, Engine, EngineError, Event, EventStream, FinishReason, GenerateRequest,
    Intake, Popped, Recorder, Refused, Sampler, StopMatcher, TextEngine, Usage,
};
use crate::metrics::Metrics;
use crate::models::CausalLm;

/// Prompt tokens computed in one go: enough to fill the device, few enough that the heart beats
/// and a client that has gone is noticed while a long prompt is read.
const PREFILL_CHUNK: usize = 128;

/// Runs one sequence at a time, first come, first served.
#[derive(Debug)]
pub struct SequentialEngine {
    intake: Arc<Intake<Job>>,
    metrics: Arc<Metrics>,
    context: usize,
}

impl SequentialEngine {
    /// Starts the engine's thread; it ends when the engine is dropped. At most `max_queue`
    /// requests wait, and any of `end_tokens` ends an answer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        lm: Box<dyn CausalLm>,
        tokenizer: Arc<Tokenizer>,
        end_tokens: Vec<u32>,
        max_queue: usize,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let context = lm.context();
        let mut model = Model {
            lm,
            context,
            tokenizer,
            end_tokens,
        };
        let run = move |intake: &Intake<Job>| model.run(intake);
        Ok(Self {
            intake: Intake::start(max_queue, "text-engine", run)?,
            metrics,
            context,
        })
    }
}

impl TextEngine for SequentialEngine {
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

impl Drop for SequentialEngine {
    fn drop(&mut self) {
        self.intake.close();
    }
}

#[derive(Debug)]
struct Job {
    request: GenerateRequest,
    recorder: Recorder,
    events: UnboundedSender<Event>,
    /// The request's, so that what this thread logs of it can be found.
    span: Span,
}

impl Abandon for Job {
    fn is_abandoned(&self) -> bool {
        self.events.is_closed() || self.request.deadline.is_over()
    }

    fn tokens(&self) -> usize {
        self.request.prompt.len()
    }

    fn abandon(self) {
        if self.request.deadline.is_over() {
            self.recorder.time_out();
            // Who waits may have seen it first, and gone.
            let _ = self.events.send(Event::Failed(EngineError::TimeIsUp));
        } else {
            self.recorder.abort();
        }
    }
}

/// How a sequence ended, where nothing failed.
enum Ended {
    Finished(FinishReason),
    Abandoned,
}

impl Job {
    fn conclude(self, ended: Result<Ended, EngineError>) {
        let last = match ended {
            Ok(Ended::Finished(reason)) => {
                self.recorder.finish(reason);
                let usage = Usage {
                    prompt_tokens: self.request.prompt.len(),
                    completion_tokens: self.recorder.generated(),
                };
                Event::Finished { reason, usage }
            }
            Ok(Ended::Abandoned) => return self.abandon(),
            Err(error) => {
                let _request = self.span.enter();
                tracing::error!(reason = error.reason(), %error, "a request failed");
                self.recorder.fail();
                Event::Failed(error)
            }
        };
        // A client that has gone by now misses nothing.
        let _ = self.events.send(last);
    }
}

/// What the engine's thread owns.
struct Model {
    lm: Box<dyn CausalLm>,
    context: usize,
    tokenizer: Arc<Tokenizer>,
    end_tokens: Vec<u32>,
}

impl Model {
    fn run(&mut self, intake: &Intake<Job>) {
        intake.stats.set_most_running(1);
        loop {
            intake.heartbeat.beat();
            match intake.take(true) {
                Popped::Item(job) => self.serve(job, intake),
                Popped::Idle => {}
                Popped::Closed => return,
            }
        }
    }

    fn serve(&mut self, mut job: Job, intake: &Intake<Job>) {
        let started = Instant::now();
        let stats = &intake.stats;
        stats.set_running(1);
        job.recorder.start();
        // The next sequence starts at position 0, which forgets whatever state a panic left.
        let ended = catch_unwind(AssertUnwindSafe(|| self.generate(&mut job, intake)));
        stats.served(started.elapsed());
        stats.set_running(0);
        stats.set_cache(0, self.context);
        job.conclude(ended.unwrap_or(Err(EngineError::Panicked)));
    }

    fn generate(&mut self, job: &mut Job, intake: &Intake<Job>) -> Result<Ended, EngineError> {
        let mut position = job.request.prompt.len();
        let room = self.context.saturating_sub(position);
        let most = job.request.max_tokens.min(room);
        let mut sampler = Sampler::new(&job.request.sampling, &job.request.prompt);
        let mut writer = Writer::new(Arc::clone(&self.tokenizer), job);
        let Some(mut logits) = self.prefill(job, intake)? else {
            return Ok(Ended::Abandoned);
        };
        loop {
            let token = sampler
                .sample(&logits.to_vec1::<f32>()?)
                .map_err(|e| EngineError::Model(e.to_string()))?;
            job.recorder.token();
            if self.end_tokens.contains(&token) {
                writer.finish();
                return Ok(Ended::Finished(FinishReason::Stop));
            }
            if writer.push(token)? {
                return Ok(Ended::Finished(FinishReason::Stop));
            }
            if job.recorder.generated() >= most {
                writer.finish();
                return Ok(Ended::Finished(FinishReason::Length));
            }
            if job.is_abandoned() {
                return Ok(Ended::Abandoned);
            }
            logits = self.step(&[token], position, intake)?;
            position += 1;
        }
    }

    /// Logits after the prompt; `None` when the client has gone meanwhile.
    fn prefill(&mut self, job: &Job, intake: &Intake<Job>) -> Result<Option<Tensor>, EngineError> {
        let mut logits = None;
        let mut position = 0;
        for chunk in job.request.prompt.chunks(PREFILL_CHUNK) {
            if job.is_abandoned() {
                return Ok(None);
            }
            logits = Some(self.step(chunk, position, intake)?);
            job.recorder.prompt(chunk.len());
            position += chunk.len();
        }
        let nothing = || EngineError::Model("the prompt has no tokens".to_owned());
        logits.ok_or_else(nothing).map(Some)
    }

    fn step(
        &mut self,
        tokens: &[u32],
        position: usize,
        intake: &Intake<Job>,
    ) -> Result<Tensor, EngineError> {
        let logits = self.lm.forward(tokens, position)?;
        intake.heartbeat.beat();
        intake
            .stats
            .set_cache(position + tokens.len(), self.context);
        Ok(logits)
    }
}

/// Turns tokens into text events.
struct Writer {
    detokenizer: Detokenizer,
    stop: StopMatcher,
    events: UnboundedSender<Event>,
}

impl Writer {
    fn new(tokenizer: Arc<Tokenizer>, job: &Job) -> Self {
        Self {
            detokenizer: Detokenizer::new(tokenizer),
            stop: StopMatcher::new(job.request.stop.clone()),
            events: job.events.clone(),
        }
    }

    /// Shows what `token` completes; true when that ends the answer.
    fn push(&mut self, token: u32) -> Result<bool, EngineError> {
        let new = self.detokenizer.push(token);
        let new = new.map_err(|e| EngineError::Model(format!("its tokenizer: {e}")))?;
        let shown = self.stop.push(&new);
        self.show(shown);
        Ok(self.stop.is_matched())
    }

    fn finish(&mut self) {
        let held = self.stop.finish();
        self.show(held);
    }

    fn show(&self, text: String) {
        if !text.is_empty() {
            // Whether the client is still there is checked once a step.
            let _ = self.events.send(Event::Text(text));
        }
    }
}

#[cfg(test)]
mod tests;
