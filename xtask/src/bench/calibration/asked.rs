//! What is asked: a trace that was named, or one that is made up.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use chandler_sim::traffic::ReplicaModel;
use chandler_sim::traffic::trace::{Bursts, Request, Trace};

use super::fit::Fitted;
use super::{Options, Sample};
use crate::bench::autoscale::{TRACES, first_trace, read};

/// A burst of a trace that is made up, and how often one comes.
const BURST: Duration = Duration::from_secs(5);
const BURSTS_APART: f64 = 60.0;
/// How many times the mean rate a burst adds: not so much that replicas at four fifths of what they can
/// do get more than that. There a queue grows with the least error of what they can, and tells of
/// nothing else.
const BURST_FACTOR: f64 = 0.25;

/// Traces of requests, made as often as they are wanted.
pub(super) struct Asked {
    given: Option<Trace>,
    /// Tokens of a prompt and of an answer, in the mean.
    pub(super) mix: (u32, u32),
    length: Duration,
}

impl Asked {
    /// As the options want it.
    ///
    /// # Errors
    /// A trace that was named can't be read.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let given = given(options)?;
        Ok(Self {
            mix: mix(options.model, given.as_ref()),
            given,
            length: options.length(),
        })
    }

    /// A trace that asks so much of what one replica can do.
    pub(super) fn trace(&self, fitted: &Fitted, load: f64, seed: u64) -> Trace {
        let length = self.length;
        let Some(trace) = &self.given else {
            let count = (length.as_secs_f64() / BURSTS_APART).round();
            let more = count * BURST.as_secs_f64() * BURST_FACTOR / length.as_secs_f64();
            let rate = load * fitted.saturation / (1.0 + more);
            let (prompt, generated) = self.mix;
            let bursts = Bursts {
                count: count as u32,
                factor: BURST_FACTOR,
                length: BURST,
            };
            return Trace::constant(rate, length, prompt, generated, seed).bursty(bursts, seed);
        };
        let mix = Request {
            at: Duration::ZERO,
            prompt_tokens: self.mix.0,
            generated_tokens: self.mix.1,
        };
        let wanted = load * fitted.saturation * work(&fitted.model, &mix);
        let most = fitted.longest.unwrap_or(u32::MAX);
        let of = |request: &Request| {
            let prompt_tokens = request.prompt_tokens.min(most);
            work(
                &fitted.model,
                &Request {
                    prompt_tokens,
                    ..*request
                },
            )
        };
        let asked: f64 = trace.requests.iter().map(of).sum();
        trace.scaled(wanted * length.as_secs_f64() / asked.max(1e-9), seed)
    }
}

/// The trace that is named, as long as it is replayed.
fn given(options: &Options) -> Result<Option<Trace>> {
    let path = match &options.trace {
        Some(path) => path.clone(),
        None if env::var_os(TRACES).is_some() => first_trace()?,
        None => return Ok(None),
    };
    Ok(Some(read(&path)?.first(options.length())))
}

/// Tokens of a prompt and of an answer, in the mean, of which a model's measurement is made.
fn mix(sample: Sample, given: Option<&Trace>) -> (u32, u32) {
    let Some(trace) = given else {
        return sample.tokens();
    };
    let (prompt, generated) = trace.mean_tokens();
    // Half of what these small models take.
    let most = match sample {
        Sample::Embeddings => 128,
        Sample::Chat => 1024,
    };
    (
        (prompt as u32).clamp(8, most),
        (generated as u32).clamp(4, most / 2),
    )
}

/// Seconds of a replica that a request takes, by its model, with as many beside it as there may be.
fn work(model: &ReplicaModel, request: &Request) -> f64 {
    let beside = match model.max_batch {
        1 => 1.0,
        // Of what comes all at once, few are in a batch.
        _ => f64::from(model.max_batch.min(8)),
    };
    let token = model.step_seconds / beside + model.sequence_seconds;
    f64::from(request.prompt_tokens) / model.prefill_tokens_per_second
        + f64::from(request.generated_tokens.max(1)) * token
}

/// A trace so many times over.
pub(super) fn repeated(trace: &Trace, turns: u32) -> Trace {
    let turn = |turn: u32| {
        let requests = trace.requests.iter();
        requests.map(move |request| Request {
            at: request.at + turn * trace.length,
            ..*request
        })
    };
    Trace {
        requests: (0..turns).flat_map(turn).collect(),
        length: turns * trace.length,
    }
}

/// Writes a trace to a file.
pub(super) fn write_csv(path: &Path, trace: &Trace) -> Result<()> {
    fs::write(path, csv(trace)).with_context(|| path.display().to_string())
}

/// The form in which public traces come.
fn csv(trace: &Trace) -> String {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for request in &trace.requests {
        let (seconds, micros) = (request.at.as_secs(), request.at.subsec_micros());
        let (minutes, second) = (seconds / 60, seconds % 60);
        let (hour, minute) = (minutes / 60, minutes % 60);
        text += &format!(
            "2024-01-01 {hour:02}:{minute:02}:{second:02}.{micros:06},{},{}\n",
            request.prompt_tokens, request.generated_tokens
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_written_as_it_is_read() {
        let trace = Trace::constant(2.0, Duration::from_secs(3700), 100, 10, 1);
        let read = Trace::parse(&csv(&trace)).expect("a trace");
        assert_eq!(read.requests.len(), trace.requests.len());
        let first = trace.requests[0].at;
        for (one, other) in read.requests.iter().zip(&trace.requests) {
            assert_eq!(one.prompt_tokens, other.prompt_tokens);
            let apart = (one.at + first).abs_diff(other.at);
            assert!(apart <= Duration::from_micros(2), "{apart:?}");
        }
    }
}
