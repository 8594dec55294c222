//! A token drawn by chance, from as many of the likeliest as a request allows.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Sampling;

/// Draws by the probabilities `exp(logit / temperature)`: those below `min_p` are left out first, then all
/// but `top_k`, then what is not needed to reach `top_p` of the rest.
#[derive(Debug)]
pub(super) struct Draw {
    temperature: f32,
    top_k: usize,
    top_p: f64,
    min_p: f32,
    dice: StdRng,
}

/// A token, and how likely it is beside the likeliest.
type Candidate = (u32, f32);

impl Draw {
    pub(super) fn new(sampling: &Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k.unwrap_or(usize::MAX).max(1),
            top_p: f64::from(sampling.top_p),
            min_p: sampling.min_p,
            dice: StdRng::seed_from_u64(sampling.seed.unwrap_or_else(rand::random)),
        }
    }

    /// Draws one; `highest` is the greatest of the logits that are finite. `None` if there is none.
    pub(super) fn draw(&mut self, logits: &[f32], highest: f32) -> Option<u32> {
        let weight = |logit: &f32| ((logit - highest) / self.temperature).exp();
        let finite = (0u32..).zip(logits).filter(|(_, logit)| logit.is_finite());
        let weighed = finite.map(|(token, logit)| (token, weight(logit)));
        let mut candidates: Vec<Candidate> = weighed
            .filter(|(_, weight)| *weight > 0.0 && *weight >= self.min_p)
            .collect();
        if self.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k, likelier);
            candidates.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            keep_nucleus(&mut candidates, self.top_p);
        }
        // Which number draws which token depends on their order: the same in every way to get here.
        candidates.sort_unstable_by_key(|(token, _)| *token);
        let mut left = self.dice.random::<f64>() * total(&candidates);
        let drawn = candidates.iter().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        // Sums round: what is left then is as good as nothing.
        drawn.or(candidates.last()).map(|(token, _)| *token)
    }
}

/// The likelier first; of equal ones the lower id.
fn likelier(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|(_, weight)| f64::from(*weight))
        .sum()
}

/// Keeps the fewest that together have `share` of the probability. Most often these are few of many, so
/// ever more of the likeliest are looked at, rather than all sorted.
fn keep_nucleus(candidates: &mut Vec<Candidate>, share: f64) {
    let enough = share * total(candidates);
    let mut look = 64;
    loop {
        let looked = look.min(candidates.len());
        if looked < candidates.len() {
            candidates.select_nth_unstable_by(looked, likelier);
        }
        candidates[..looked].sort_unstable_by(likelier);
        let mut sum = 0.0;
        let reached = candidates[..looked].iter().position(|(_, weight)| {
            sum += f64::from(*weight);
            sum >= enough
        });
        match reached {
            Some(last) => return candidates.truncate(last + 1),
            None if looked == candidates.len() => return,
            None => look *= 8,
        }
    }
}
