//! What is asked of a server, and how fast it answers.

use anyhow::{Context, Result, bail};
use chandler_e2e::Api;
use serde_json::{Value, json};
use std::thread;
use std::time::Instant;

/// The number of no run.
pub(in crate::bench) const WARM_UP: u32 = 9999;
const PATH: &str = "/v1/completions";
/// Tokens of an answer.
pub(in crate::bench) const DECODED_TOKENS: u64 = 128;
/// The beginning of a story: some thirty characters, and as many tokens where characters are tokens.
const STORY: &str = " Once upon a time there";
/// About ten tokens of a trained vocabulary; the prompt of about 512 tokens repeats it.
const SENTENCE: &str = " The quick brown fox jumps over the lazy dog.";
const PREFILLED_TOKENS: u64 = 512;
/// Tokens that end a text in the files here; never chosen, so that all answers have one length.
const ENDS: [u32; 2] = [0, 2];

/// A server that speaks OpenAI's API.
#[derive(Debug)]
pub(in crate::bench) struct Target<'a> {
    api: &'a Api,
    model: &'a str,
}

/// When an answer's parts came.
struct Answered {
    first: Instant,
    last: Instant,
    tokens: u64,
}

impl<'a> Target<'a> {
    pub(in crate::bench) fn new(api: &'a Api, model: &'a str) -> Self {
        Self { api, model }
    }

    /// Tokens a second that so many streams get together, between the first and the last of them.
    ///
    /// # Errors
    /// When an answer fails or is too short.
    pub(in crate::bench) fn decode(&self, streams: usize, run: u32) -> Result<f64> {
        let answers: Vec<Answered> = thread::scope(|scope| {
            let asked: Vec<_> = (0..streams)
                .map(|stream| scope.spawn(move || self.answer(run, stream)))
                .collect();
            let answers = asked.into_iter().map(|answer| {
                let answer = answer.join();
                answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            answers.collect::<Result<_>>()
        })?;
        let first = answers.iter().map(|answer| answer.first).min();
        let last = answers.iter().map(|answer| answer.last).max();
        let (first, last) = first.zip(last).context("nothing was asked")?;
        let tokens: u64 = answers.iter().map(|answer| answer.tokens - 1).sum();
        #[allow(clippy::cast_precision_loss)]
        Ok(tokens as f64 / (last - first).as_secs_f64())
    }

    fn answer(&self, run: u32, stream: usize) -> Result<Answered> {
        let mut body = self.request(&fresh(run, stream, STORY), DECODED_TOKENS);
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        let (mut first, mut last, mut tokens) = (None, Instant::now(), 0);
        for event in self.api.stream(PATH, &body)? {
            let event = event?;
            let text = event["choices"][0]["text"].as_str();
            if text.is_some_and(|text| !text.is_empty()) {
                last = Instant::now();
                first.get_or_insert(last);
            }
            let told = event["usage"]["completion_tokens"].as_u64();
            tokens = told.unwrap_or(tokens);
        }
        if tokens != DECODED_TOKENS {
            bail!("{tokens} tokens were generated, not {DECODED_TOKENS}");
        }
        Ok(Answered {
            first: first.context("no text came")?,
            last,
            tokens,
        })
    }

    /// Prompt tokens a second, up to the first generated token.
    ///
    /// # Errors
    /// When the answer fails.
    pub(in crate::bench) fn prefill(&self, run: u32) -> Result<f64> {
        let prompt = self.prompt(run)?;
        let start = Instant::now();
        let reply = self.api.post(PATH, &self.request(&prompt, 1))?;
        let seconds = start.elapsed().as_secs_f64();
        let tokens = reply.json()["usage"]["prompt_tokens"].as_f64();
        Ok(tokens.with_context(|| format!("status {}: {}", reply.status, reply.text))? / seconds)
    }

    /// A prompt of about [`PREFILLED_TOKENS`] tokens, whatever the vocabulary.
    fn prompt(&self, run: u32) -> Result<String> {
        let count = |text: &str| -> Result<u64> {
            let reply = self.api.post(PATH, &self.request(text, 1))?;
            let tokens = reply.json()["usage"]["prompt_tokens"].as_u64();
            tokens.with_context(|| format!("status {}: {}", reply.status, reply.text))
        };
        let one = count(&fresh(run, 1, SENTENCE))?;
        let more = count(&fresh(run, 2, &SENTENCE.repeat(2)))? - one;
        let repeats = 1 + PREFILLED_TOKENS.saturating_sub(one) / more;
        Ok(fresh(run, 3, &SENTENCE.repeat(usize::try_from(repeats)?)))
    }

    fn request(&self, prompt: &str, tokens: u64) -> Value {
        let never: serde_json::Map<String, Value> = ENDS
            .iter()
            .map(|end| (end.to_string(), Value::from(-100)))
            .collect();
        json!({
            "model": self.model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "logit_bias": never,
        })
    }
}

/// A prompt that no cache of prompts has seen.
fn fresh(run: u32, stream: usize, text: &str) -> String {
    format!("{run}.{stream} Chapter.{text}")
}
