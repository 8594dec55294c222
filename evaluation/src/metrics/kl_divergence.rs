//! How far the canary's distributions of the next token are from the stable revision's: the
//! Kullback-Leibler divergence (Kullback and Leibler, "On Information and Sufficiency", 1951),
//!
//! ```text
//! D(P ‖ Q) = Σ P(token) ln(P(token) / Q(token))
//! ```
//!
//! in nats, with the stable revision's `P` and the canary's `Q`, as the mean over positions that both
//! were asked about after the same text.
//!
//! Of each distribution only the likeliest tokens are known. The vocabulary is put into buckets: each
//! token that both name, those that the stable revision alone names (S), those that the canary alone
//! names (T), and all others (R). By the data-processing inequality (Cover and Thomas, "Elements of
//! Information Theory", theorem 2.7.1, the log sum inequality) the divergence of buckets is at most
//! that of tokens. What `Q` gives to S is unknown, and so is what `P` gives to T; but a token that is
//! not among the likeliest has at most the least probability that is told. The result is the least
//! divergence that these bounds allow: a lower bound of the true one. One bucket for all but the
//! common tokens would be a lower bound as well, but says 0 of two revisions that agree on nothing.
//!
//! Statistics: the weighted sum over positions, and the weighted count of positions.

use std::collections::BTreeMap;

use super::perplexity::check_logprob;
use crate::evidence::Problem;

/// What rounding to 32 bits may have done to a sum of probabilities. What the canary leaves to tokens
/// that it does not name counts as no less, lest an error of rounding become a great divergence.
const ROUNDING: f64 = 1e-6;
/// No probability of the canary's counts as less, so that the divergence stays finite. A greater
/// one only lowers the bound.
const LEAST: f64 = 1e-12;
/// Probabilities of one distribution sum up to no more, but for rounding to few digits.
const MOST: f64 = 1.01;

/// One of the likeliest tokens at a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Likely {
    /// Its text, or anything else that is the same in both revisions.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
}

/// The likeliest tokens of both revisions after the same text. A written token that is not among
/// them must not be told: the least probability would no longer bound that of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Of the stable revision.
    pub stable: Vec<Likely>,
    /// Of the canary.
    pub canary: Vec<Likely>,
}

/// Statistics of an item from its positions. An empty answer has none.
pub(crate) fn statistics(positions: &[Position], weight: f64) -> Result<Vec<f64>, Problem> {
    let mut sum = 0.0;
    for position in positions {
        sum += divergence(position)?;
    }
    Ok(vec![sum * weight, positions.len() as f64 * weight])
}

/// A distribution as far as it is told.
struct Told<'a> {
    probabilities: BTreeMap<&'a str, f64>,
    /// The least that is told of any token.
    least: f64,
    /// What is left for tokens that are not told.
    rest: f64,
}

impl<'a> Told<'a> {
    fn new(tokens: &'a [Likely]) -> Result<Self, Problem> {
        let mut probabilities = BTreeMap::new();
        for likely in tokens {
            check_logprob(likely.logprob)?;
            let probability = likely.logprob.exp().min(1.0);
            if probabilities.insert(&*likely.token, probability).is_some() {
                let token = likely.token.clone();
                return Err(Problem::TokenTwice { token });
            }
        }
        let sum: f64 = probabilities.values().sum();
        if probabilities.is_empty() {
            return Err(Problem::NoTokens);
        }
        if sum > MOST {
            return Err(Problem::OverOne { sum });
        }
        Ok(Self {
            least: probabilities.values().copied().fold(1.0, f64::min),
            rest: (1.0 - sum).max(0.0),
            probabilities,
        })
    }

    /// The tokens that `other` doesn't name: their count, and what they have together.
    fn alone(&self, other: &Self) -> (usize, f64) {
        let tokens = self.probabilities.iter();
        let alone = tokens.filter(|(token, _)| !other.probabilities.contains_key(*token));
        alone.fold((0, 0.0), |(count, sum), (_, probability)| {
            (count + 1, sum + probability)
        })
    }
}

/// A lower bound of the divergence at one position, at least 0.
fn divergence(position: &Position) -> Result<f64, Problem> {
    let (stable, canary) = (Told::new(&position.stable)?, Told::new(&position.canary)?);
    let both = stable.probabilities.iter().filter_map(|(token, p)| {
        let q = canary.probabilities.get(token)?;
        Some(term(*p, *q))
    });
    let (count_s, p_of_s) = stable.alone(&canary);
    let (count_t, q_of_t) = canary.alone(&stable);
    let q_rest = canary.rest.max(ROUNDING);
    let unknown = Unknown {
        p_of_s,
        q_of_t,
        p_rest: stable.rest,
        q_rest,
        q_of_s_most: (count_s as f64 * canary.least).min(q_rest),
        p_of_t_most: (count_t as f64 * stable.least).min(stable.rest),
    };
    Ok((both.sum::<f64>() + unknown.least_divergence()).max(0.0))
}

/// The buckets S, T and R: what is known of them.
struct Unknown {
    p_of_s: f64,
    q_of_t: f64,
    /// What `P` gives to T and R together.
    p_rest: f64,
    /// What `Q` gives to S and R together.
    q_rest: f64,
    q_of_s_most: f64,
    p_of_t_most: f64,
}

impl Unknown {
    /// The least divergence over all `Q(S)` and `P(T)` within their bounds.
    ///
    /// It is convex in both together. So the least is either where it would be without bounds, with
    /// the same ratio of `P` to `Q` in each bucket, or on a bound, where one of them is known and
    /// the least over the other one has a closed form.
    fn least_divergence(&self) -> f64 {
        let ratio = (self.p_of_s + self.p_rest) / (self.q_of_t + self.q_rest);
        let (free_s, free_t) = (self.p_of_s / ratio, self.q_of_t * ratio);
        // Also false where both sides are 0 and there is no ratio.
        if free_s <= self.q_of_s_most && free_t <= self.p_of_t_most {
            return self.divergence(free_s, free_t);
        }
        let bound_s = self.q_of_s_most;
        let bound_t = self.p_of_t_most;
        let at_s = self.divergence(bound_s, self.best_t(bound_s));
        let at_t = self.divergence(self.best_s(bound_t), bound_t);
        at_s.min(at_t)
    }

    /// The best `Q(S)` for a `P(T)`.
    fn best_s(&self, p_of_t: f64) -> f64 {
        let share = share(self.p_of_s, self.p_rest - p_of_t);
        (self.q_rest * share).min(self.q_of_s_most)
    }

    /// The best `P(T)` for a `Q(S)`.
    fn best_t(&self, q_of_s: f64) -> f64 {
        let share = share(self.q_of_t, self.q_rest - q_of_s);
        (self.p_rest * share).min(self.p_of_t_most)
    }

    fn divergence(&self, q_of_s: f64, p_of_t: f64) -> f64 {
        let p_of_r = (self.p_rest - p_of_t).max(0.0);
        let q_of_r = (self.q_rest - q_of_s).max(0.0);
        term(self.p_of_s, q_of_s) + term(p_of_t, self.q_of_t) + term(p_of_r, q_of_r)
    }
}

fn share(part: f64, other: f64) -> f64 {
    let whole = part + other;
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn term(p: f64, q: f64) -> f64 {
    if p > 0.0 {
        p * (p / q.max(LEAST)).ln()
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "kl_divergence_tests.rs"]
mod tests;
