//! The choice of the next token from its logits.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Drawing};

/// How one request wants its tokens chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits, 0 to 2; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability are drawn from; above 0, at most 1.
    pub top_p: f32,
    /// The same seed draws the same tokens; a random one when absent.
    pub seed: Option<u64>,
}

impl Sampling {
    /// Always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            seed: None,
        }
    }
}

/// The logits named no token that can be chosen: all were infinite or not numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model gave no finite logit")]
pub struct NoFiniteLogit;

/// Draws tokens for one request, from a generator of its own: what runs beside it changes nothing.
pub struct Sampler {
    /// `None` always takes the likeliest token.
    drawing: Option<LogitsProcessor>,
}

impl Sampler {
    /// A sampler at the start of a request.
    #[must_use]
    pub fn new(sampling: &Sampling) -> Self {
        let temperature = f64::from(sampling.temperature);
        let how = if sampling.top_p < 1.0 {
            let p = f64::from(sampling.top_p);
            Drawing::TopP { p, temperature }
        } else {
            Drawing::All { temperature }
        };
        let seed = || sampling.seed.unwrap_or_else(rand::random);
        let drawing = (temperature > 0.0).then(|| LogitsProcessor::from_sampling(seed(), how));
        Self { drawing }
    }

    /// Chooses a token id.
    ///
    /// # Errors
    /// When no logit is finite.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, NoFiniteLogit> {
        let (best, _) = argmax(logits).ok_or(NoFiniteLogit)?;
        let Some(drawing) = &mut self.drawing else {
            return Ok(best);
        };
        let finite = |logit: &f32| {
            if logit.is_finite() {
                *logit
            } else {
                f32::NEG_INFINITY
            }
        };
        let finite: Vec<f32> = logits.iter().map(finite).collect();
        let drawn = Tensor::new(finite, &Device::Cpu).and_then(|logits| drawing.sample(&logits));
        drawn.map_err(|_| NoFiniteLogit)
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler")
            .field("draws", &self.drawing.is_some())
            .finish()
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
mod tests {
    use super::*;

    fn sampler(temperature: f32, top_p: f32, seed: u64) -> Sampler {
        Sampler::new(&Sampling {
            temperature,
            top_p,
            seed: Some(seed),
        })
    }

    fn logits(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37) % 101) as f32 / 20.0).collect()
    }

    fn draws(sampler: &mut Sampler, logits: &[f32], count: usize) -> Vec<u32> {
        (0..count)
            .map(|_| sampler.sample(logits).unwrap())
            .collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest_and_of_equals_the_first() {
        let mut sampler = sampler(0.0, 1.0, 1);
        assert_eq!(sampler.sample(&[0.5, 2.0, 2.0, -1.0]), Ok(1));
        assert_eq!(sampler.sample(&[f32::NAN, -5.0, f32::NEG_INFINITY]), Ok(1));
    }

    #[test]
    fn logits_without_a_number_are_an_error() {
        let broken = [f32::NAN, f32::NEG_INFINITY];
        assert_eq!(sampler(0.0, 1.0, 1).sample(&broken), Err(NoFiniteLogit));
        assert_eq!(sampler(1.0, 0.5, 1).sample(&[]), Err(NoFiniteLogit));
    }

    #[test]
    fn a_seed_fixes_the_draws() {
        let logits = logits(500);
        let first = draws(&mut sampler(1.0, 0.9, 7), &logits, 50);
        assert_eq!(first, draws(&mut sampler(1.0, 0.9, 7), &logits, 50));
        assert_ne!(first, draws(&mut sampler(1.0, 0.9, 8), &logits, 50));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0, 1.0f32.ln() + 2.0f32.ln(), f32::NEG_INFINITY, 0.0];
        let drawn = draws(&mut sampler(1.0, 1.0, 3), &logits, 8000);
        let share = |token| drawn.iter().filter(|t| **t == token).count() as f64 / 8000.0;
        assert!((share(1) - 0.5).abs() < 0.03);
        assert!((share(0) - 0.25).abs() < 0.03);
        assert_eq!(share(2), 0.0);
    }

    #[test]
    fn top_p_keeps_the_fewest_tokens_that_reach_it() {
        let probabilities = [0.1f32, 0.5, 0.3, 0.1];
        let logits = probabilities.map(f32::ln);
        let drawn = draws(&mut sampler(1.0, 0.7, 5), &logits, 500);
        assert!(drawn.iter().all(|token| [1, 2].contains(token)));
        assert!(drawn.contains(&1) && drawn.contains(&2));
        let narrow = draws(&mut sampler(1.5, 0.01, 5), &logits, 50);
        assert!(narrow.iter().all(|token| *token == 1));
    }

    #[test]
    fn a_nucleus_wider_than_the_first_look_is_found() {
        let flat = vec![0.0f32; 5000];
        let mut sampler = sampler(1.0, 0.9, 1);
        let drawn = draws(&mut sampler, &flat, 4000);
        assert!(drawn.iter().any(|token| *token > 2100));
        assert!(drawn.iter().all(|token| *token < 4510));
    }
}
