//! Logits changed by what the request favours, and by what was read and written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use candle_transformers::utils::apply_repeat_penalty;

use super::Sampling;

/// What one sequence's logits are changed by.
#[derive(Debug)]
pub(super) struct Adjust {
    bias: Vec<(u32, f32)>,
    repetition: f32,
    frequency: f32,
    presence: f32,
    /// Tokens that were read or written, with how often they were written. Empty where no penalty asks.
    seen: BTreeMap<u32, u32>,
}

impl Adjust {
    pub(super) fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        let mut adjust = Self {
            bias: sampling.logit_bias.clone(),
            repetition: sampling.repetition_penalty,
            frequency: sampling.frequency_penalty,
            presence: sampling.presence_penalty,
            seen: BTreeMap::new(),
        };
        if adjust.penalises() {
            adjust.seen = prompt.iter().map(|token| (*token, 0)).collect();
        }
        adjust
    }

    fn penalises(&self) -> bool {
        self.repetition != 1.0 || self.frequency != 0.0 || self.presence != 0.0
    }

    /// One more token was written.
    pub(super) fn wrote(&mut self, token: u32) {
        if self.penalises() {
            *self.seen.entry(token).or_default() += 1;
        }
    }

    /// The logits with the bias added first, as vLLM adds it.
    ///
    /// The penalty of a repetition is that of Keskar et al., "CTRL" (2019), over prompt and answer; those
    /// of frequency and presence are OpenAI's, over the answer.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn adjust<'a>(&self, logits: &'a [f32]) -> Result<Cow<'a, [f32]>> {
        if self.bias.is_empty() && self.seen.is_empty() {
            return Ok(Cow::Borrowed(logits));
        }
        let mut logits = logits.to_vec();
        for (token, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        if self.repetition != 1.0 {
            logits = self.penalise_repetition(logits)?;
        }
        for (token, written) in self.seen.iter().filter(|(_, written)| **written > 0) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= self.frequency * *written as f32 + self.presence;
            }
        }
        Ok(Cow::Owned(logits))
    }

    fn penalise_repetition(&self, logits: Vec<f32>) -> Result<Vec<f32>> {
        let count = logits.len();
        let logits = Tensor::from_vec(logits, count, &Device::Cpu)?;
        let seen: Vec<u32> = self.seen.keys().copied().collect();
        apply_repeat_penalty(&logits, self.repetition, &seen)?.to_vec1()
    }
}
