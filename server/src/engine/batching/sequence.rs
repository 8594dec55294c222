//! What the engine keeps of a sequence beside its place in the schedule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenizers::Tokenizer;
use tokio::sync::mpsc::UnboundedSender;

use super::job::Job;
use crate::engine::{
    Detokenizer, EngineError, Event, FinishReason, Sampler, StopMatcher, TokenLogprobs, Written,
};

/// A sequence that is not over.
pub(super) struct Sequence {
    pub(super) job: Job,
    sampler: Sampler,
    writer: Writer,
    /// Tokens that it may write.
    most: usize,
    /// Tokens of its prompt that were computed at least once.
    read: usize,
    began: Option<Instant>,
}

impl Sequence {
    /// One that may write `most` tokens.
    pub(super) fn new(job: Job, most: usize, tokenizer: Arc<Tokenizer>) -> Self {
        Self {
            sampler: Sampler::new(&job.request.sampling, &job.request.prompt),
            writer: Writer::new(tokenizer, &job),
            most,
            read: 0,
            began: None,
            job,
        }
    }

    /// It waits no more. True the first time.
    pub(super) fn begin(&mut self) -> bool {
        let is_first = self.began.is_none();
        if is_first {
            self.began = Some(Instant::now());
            self.job.recorder.start();
        }
        is_first
    }

    /// Since it waits no more; `None` while it waits.
    pub(super) fn begun_for(&self) -> Option<Duration> {
        self.began.map(|began| began.elapsed())
    }

    /// It is computed up to a position. What was read before and is computed anew is not told again.
    pub(super) fn computed(&mut self, end: usize) {
        let read = end.min(self.job.request.prompt.len());
        self.job.recorder.prompt(read.saturating_sub(self.read));
        self.read = self.read.max(read);
    }

    /// Writes the token that follows; tells why it ends with it, if it does.
    pub(super) fn write(
        &mut self,
        logits: &[f32],
        end_tokens: &[u32],
    ) -> Result<(u32, Option<FinishReason>), EngineError> {
        let token = match &mut self.job.request.constraint {
            None => self.sampler.sample(logits),
            Some(constraint) => self.sampler.sample(&constraint.mask(logits)?),
        };
        let token = token.map_err(|error| EngineError::Model(error.to_string()))?;
        let recorder = &mut self.job.recorder;
        recorder.token();
        let is_last = recorder.generated() >= self.most;
        let ended = if end_tokens.contains(&token) {
            Some(FinishReason::Stop)
        } else if self.writer.push(token, logits)? {
            return Ok((token, Some(FinishReason::Stop)));
        } else if self.completes(token)? {
            Some(FinishReason::Stop)
        } else {
            is_last.then_some(FinishReason::Length)
        };
        if ended.is_some() {
            self.writer.finish();
        }
        Ok((token, ended))
    }

    /// Whether nothing can follow a written token in the form that the answer is held to.
    fn completes(&mut self, token: u32) -> Result<bool, EngineError> {
        match &mut self.job.request.constraint {
            None => Ok(false),
            Some(constraint) => constraint.wrote(token),
        }
    }
}

/// Turns tokens into text events.
struct Writer {
    detokenizer: Detokenizer,
    stop: StopMatcher,
    events: UnboundedSender<Event>,
    /// How many likely tokens are told of beside each written one.
    logprobs: Option<usize>,
    /// Tokens that are told once text beyond their beginning is shown.
    untold: VecDeque<TokenLogprobs>,
    /// Characters so far, and those of them that were shown.
    characters: usize,
    shown: usize,
}

impl Writer {
    fn new(tokenizer: Arc<Tokenizer>, job: &Job) -> Self {
        Self {
            detokenizer: Detokenizer::new(tokenizer).with_special(job.request.shows_special),
            stop: StopMatcher::new(job.request.stop.clone()),
            events: job.events.clone(),
            logprobs: job.request.logprobs,
            untold: VecDeque::new(),
            characters: 0,
            shown: 0,
        }
    }

    /// Shows what `token`, chosen by `logits`, completes; true when that ends the answer.
    fn push(&mut self, token: u32, logits: &[f32]) -> Result<bool, EngineError> {
        if let Some(top) = self.logprobs {
            let told = TokenLogprobs::of(logits, token, top, self.characters);
            self.untold.push_back(told);
        }
        let new = self.detokenizer.push(token);
        let new = new.map_err(|e| EngineError::Model(format!("its tokenizer: {e}")))?;
        self.characters += new.chars().count();
        let shown = self.stop.push(&new);
        self.shown += shown.chars().count();
        let begun = self.untold.partition_point(|told| told.offset < self.shown);
        let logprobs = self.untold.drain(..begun).collect();
        self.show(shown, logprobs);
        Ok(self.stop.is_matched())
    }

    fn finish(&mut self) {
        let held = self.stop.finish();
        let logprobs = self.untold.drain(..).collect();
        self.show(held, logprobs);
    }

    fn show(&self, text: String, logprobs: Vec<TokenLogprobs>) {
        if !text.is_empty() || !logprobs.is_empty() {
            // Whether the client is still there is checked once a step.
            let _ = self.events.send(Event::Text(Written { text, logprobs }));
        }
    }
}
