//! What a replica can do, as a measurement of a running one tells, or as someone supposes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A replica's engine: each step computes one token of every sequence that writes, and as much of
/// the prompts that are taken in as its budget of tokens leaves room for. A step takes
///
/// ```text
/// step + perSequence · sequences that write + tokens of prompts / prefillTokensPerSecond
/// ```
///
/// which is the shape that continuous batching with prefill in chunks has (Agrawal et al.,
/// "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", 2024).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplicaModel {
    /// Tokens of prompts that are computed in a second in which nothing else is.
    pub prefill_tokens_per_second: f64,
    /// Seconds of a step that computes nothing.
    pub step_seconds: f64,
    /// Seconds that each sequence which writes adds to a step.
    pub sequence_seconds: f64,
    /// Most sequences at a time, those whose prompts are computed among them.
    pub max_batch: u32,
    /// Most tokens in a step.
    pub max_step_tokens: u32,
    /// Most requests that wait; more are refused.
    pub max_queue: u32,
    /// Tokens that the key-value cache holds. A sequence begins once it will fit to its end.
    pub kv_tokens: u64,
    /// Seconds from a replica's order until it is ready, of starts that were seen; each start is
    /// as one of them.
    pub start_seconds: Vec<f64>,
    /// Seconds that a replica which goes has to finish what it has.
    pub drain_seconds: f64,
    /// Seconds that a request takes beside the engine, which computes others meanwhile: its way, its
    /// tokens, its answer's way. A caller waits for them, and no replica measures them.
    pub request_seconds: f64,
}

impl Default for ReplicaModel {
    /// About what an 8-billion-parameter model does on a GPU of 24 GB, in 16 bits.
    fn default() -> Self {
        Self {
            prefill_tokens_per_second: 6000.0,
            step_seconds: 0.025,
            sequence_seconds: 0.000_25,
            max_batch: 32,
            max_step_tokens: 2048,
            max_queue: 256,
            kv_tokens: 60_000,
            start_seconds: vec![60.0],
            drain_seconds: 120.0,
            request_seconds: 0.0,
        }
    }
}

/// A number that no replica has.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {found} is not {wanted}")]
pub struct Impossible {
    /// The field.
    pub field: &'static str,
    /// What it has.
    pub found: String,
    /// What it may have.
    pub wanted: &'static str,
}

/// Why a replica model can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is no YAML of the format.
    #[error(transparent)]
    Malformed(#[from] serde_yaml::Error),
    /// A number is none that a replica has.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

impl ModelError {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MalformedReplicaModel",
            Self::Impossible(_) => "ImpossibleReplicaModel",
        }
    }
}

impl ReplicaModel {
    /// Reads YAML; what is not told has the default's value.
    ///
    /// # Errors
    /// It is malformed, has an unknown field or a number that no replica has.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let model: Self = serde_yaml::from_str(text)?;
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), Impossible> {
        let number = |field, value: f64, least: f64, wanted| {
            let fits = value.is_finite() && value >= least;
            fits.then_some(()).ok_or_else(|| Impossible {
                field,
                found: value.to_string(),
                wanted,
            })
        };
        let positive = "above 0";
        let least = f64::MIN_POSITIVE;
        number(
            "prefillTokensPerSecond",
            self.prefill_tokens_per_second,
            least,
            positive,
        )?;
        number("stepSeconds", self.step_seconds, 1e-6, "at least 0.000001")?;
        number("sequenceSeconds", self.sequence_seconds, 0.0, "0 or more")?;
        number("maxBatch", self.max_batch.into(), 1.0, "at least 1")?;
        // A step must have room for something beside the sequences that write.
        let tokens = f64::from(self.max_batch) + 1.0;
        number(
            "maxStepTokens",
            self.max_step_tokens.into(),
            tokens,
            "above maxBatch",
        )?;
        number("kvTokens", self.kv_tokens as f64, 1.0, "at least 1")?;
        number("drainSeconds", self.drain_seconds, 0.0, "0 or more")?;
        number("requestSeconds", self.request_seconds, 0.0, "0 or more")?;
        if self.start_seconds.is_empty() {
            return Err(Impossible {
                field: "startSeconds",
                found: "[]".to_owned(),
                wanted: "a list of at least one start",
            });
        }
        for start in &self.start_seconds {
            number("startSeconds", *start, 0.0, "0 or more")?;
        }
        Ok(())
    }

    /// How long a step takes that advances so many sequences and computes so many tokens of
    /// prompts, on a replica that is `slowness` times as slow as others.
    pub(super) fn step(&self, writing: usize, prompt_tokens: u32, slowness: f64) -> Duration {
        let seconds = self.step_seconds
            + self.sequence_seconds * writing as f64
            + f64::from(prompt_tokens) / self.prefill_tokens_per_second;
        Duration::from_secs_f64(seconds * slowness)
    }
}
