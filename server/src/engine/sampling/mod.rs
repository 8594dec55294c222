//! The choice of the next token from its logits: what was written before and what the request favours
//! change them first (`adjust`), then one is drawn (`draw`).

mod adjust;
mod draw;
mod logprobs;

use self::adjust::Adjust;
use self::draw::Draw;
pub use self::logprobs::TokenLogprobs;

/// How one request wants its tokens chosen. The default draws from the model's own probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits, 0 to 2; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only so many of the likeliest tokens are drawn from; all when absent.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability are drawn from; above 0, at most 1.
    pub top_p: f32,
    /// Only tokens that are at least so many times as likely as the likeliest are drawn from; 0 to 1.
    pub min_p: f32,
    /// Divides the logits of tokens that were read or written, or multiplies them where they are below 0;
    /// above 0, and 1 changes nothing.
    pub repetition_penalty: f32,
    /// Taken from a token's logit for each time that it was written.
    pub frequency_penalty: f32,
    /// Taken from the logits of tokens that were written.
    pub presence_penalty: f32,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// The same seed draws the same tokens; a random one when absent.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

impl Sampling {
    /// Always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// The same for the answer of that number among several to one prompt: with a seed, each has one of
    /// its own, and the first the request's.
    #[must_use]
    pub fn of_answer(self, number: usize) -> Self {
        Self {
            seed: self.seed.map(|seed| seed.wrapping_add(number as u64)),
            ..self
        }
    }
}

/// The logits named no token that can be chosen: all were infinite or not numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model gave no finite logit")]
pub struct NoFiniteLogit;

/// Draws tokens for one request, from a generator of its own: what runs beside it changes nothing.
#[derive(Debug)]
pub struct Sampler {
    adjust: Adjust,
    /// `None` always takes the likeliest token.
    draw: Option<Draw>,
}

impl Sampler {
    /// A sampler at the start of an answer to `prompt`.
    #[must_use]
    pub fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        Self {
            adjust: Adjust::new(sampling, prompt),
            draw: (sampling.temperature > 0.0).then(|| Draw::new(sampling)),
        }
    }

    /// Chooses a token id, which counts as written.
    ///
    /// # Errors
    /// When no logit is finite.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, NoFiniteLogit> {
        let logits = self.adjust.adjust(logits).map_err(|_| NoFiniteLogit)?;
        let (best, highest) = argmax(&logits).ok_or(NoFiniteLogit)?;
        let token = match &mut self.draw {
            None => best,
            Some(draw) => draw.draw(&logits, highest).unwrap_or(best),
        };
        self.adjust.wrote(token);
        Ok(token)
    }
}

/// The likeliest token and its logit; of equal ones the lowest id.
fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    let finite = (0u32..).zip(logits).filter(|(_, logit)| logit.is_finite());
    finite.fold(None, |best, (token, logit)| match best {
        Some((_, highest)) if highest >= *logit => best,
        _ => Some((token, *logit)),
    })
}

#[cfg(test)]
mod tests;
