//! What the engine keeps of a sequence beside its place in the schedule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenizers::Tokenizer;
use tokio::sync::mpsc::UnboundedSender;

use super::job::Job;
use crate::engine::schedule::Chunk;
use crate::engine::{
    Detokenizer, EngineError, Event, FinishReason, Sampler, StopMatcher, TokenLogprobs, Written,
};

/// What came of the logits after a sequence's last token.
pub(super) enum Wrote {
    /// It goes on with this one.
    Token(u32),
    /// It is over.
    Last(FinishReason),
}

/// A sequence that is not over.
pub(super) struct Sequence {
    pub(super) job: Job,
    sampler: Sampler,
    writer: Writer,
    /// Tokens that it may write.
    most: usize,
    /// Tokens of its prompt that were computed at least once.
    read: usize,
    /// Tokens of its prompt that were repeated, where that is asked for.
    repeated: usize,
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
            repeated: 0,
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

    /// A chunk of it is computed, with these logits after its tokens; tells what it writes, if it does.
    ///
    /// # Errors
    /// They can't be made a token or a text of.
    pub(super) fn computed(
        &mut self,
        chunk: &Chunk,
        logits: &[Vec<f32>],
        end_tokens: &[u32],
    ) -> Result<Option<Wrote>, EngineError> {
        if logits.len() < chunk.logits() {
            return Err(EngineError::Model("it gave too few logits".to_owned()));
        }
        // What was read before and is computed anew is not told again.
        let read = chunk.positions.end.min(self.job.request.prompt.len());
        self.job.recorder.prompt(read.saturating_sub(self.read));
        self.read = self.read.max(read);
        if self.job.request.echo {
            self.repeat(chunk, logits)?;
        }
        match logits.last() {
            Some(last) if chunk.writes => self.write(last, end_tokens).map(Some),
            _ => Ok(None),
        }
    }

    /// Repeats the prompt as far as it was computed. Where it is told how likely its tokens were, that goes one token
    /// further: the logits after each tell of the next.
    fn repeat(&mut self, chunk: &Chunk, logits: &[Vec<f32>]) -> Result<(), EngineError> {
        let prompt = &self.job.request.prompt;
        let end = chunk.positions.end + usize::from(chunk.scored);
        let end = end.min(prompt.len());
        let tokens = (self.repeated..end).map(|at| {
            // Nothing tells of the first token.
            let before = at.checked_sub(chunk.positions.start + 1);
            (prompt[at], before.and_then(|at| logits.get(at)))
        });
        self.writer.repeat(tokens)?;
        self.repeated = self.repeated.max(end);
        Ok(())
    }

    /// Writes the token that follows, if any may.
    fn write(&mut self, logits: &[f32], end_tokens: &[u32]) -> Result<Wrote, EngineError> {
        if self.most == 0 {
            self.writer.finish();
            return Ok(Wrote::Last(FinishReason::Length));
        }
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
            return Ok(Wrote::Last(FinishReason::Stop));
        } else if self.completes(token)? {
            Some(FinishReason::Stop)
        } else {
            is_last.then_some(FinishReason::Length)
        };
        if ended.is_some() {
            self.writer.finish();
        }
        Ok(ended.map_or(Wrote::Token(token), Wrote::Last))
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
        let new = self.add(token, Some(logits))?;
        let shown = self.stop.push(&new);
        self.go_on(shown);
        Ok(self.stop.is_matched())
    }

    /// Shows tokens of the prompt, each with the logits that told of it, if any did. No stop string ends it.
    fn repeat<'a>(
        &mut self,
        tokens: impl Iterator<Item = (u32, Option<&'a Vec<f32>>)>,
    ) -> Result<(), EngineError> {
        let mut text = String::new();
        for (token, logits) in tokens {
            text += &self.add(token, logits.map(Vec::as_slice))?;
        }
        self.go_on(text);
        Ok(())
    }

    /// The text that `token` completes.
    fn add(&mut self, token: u32, logits: Option<&[f32]>) -> Result<String, EngineError> {
        if let Some(top) = self.logprobs {
            let told = match logits {
                Some(logits) => TokenLogprobs::of(logits, token, top, self.characters),
                None => TokenLogprobs::untold(token, self.characters),
            };
            self.untold.push_back(told);
        }
        let new = self.detokenizer.push(token);
        let new = new.map_err(|e| EngineError::Model(format!("its tokenizer: {e}")))?;
        self.characters += new.chars().count();
        Ok(new)
    }

    /// Shows more text, with the tokens that begin in it.
    fn go_on(&mut self, text: String) {
        self.shown += text.chars().count();
        let begun = self.untold.partition_point(|told| told.offset < self.shown);
        let logprobs = self.untold.drain(..begun).collect();
        self.show(text, logprobs);
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
