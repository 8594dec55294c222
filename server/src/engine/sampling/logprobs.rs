//! How likely the model itself found a token, before anything that a request changes of its choice.

/// Told in place of a probability of nothing, which has no finite logarithm: OpenAI's number for it.
const UNLIKELY: f32 = -9999.0;

/// A written token, how likely it was, and which ones were likeliest in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token.
    pub token: u32,
    /// The natural logarithm of its probability; `None` of a first token, which nothing tells of.
    pub logprob: Option<f32>,
    /// The likeliest tokens with theirs, the likeliest first, and of equal ones the lowest id.
    pub top: Vec<(u32, f32)>,
    /// Characters of the answer before the token.
    pub offset: usize,
}

impl TokenLogprobs {
    /// What `logits` say of `token`, which `offset` characters stand before, and of the `top` likeliest.
    ///
    /// These are the logarithms of a softmax over all logits that are finite: `logit - ln Σ exp(logit)`,
    /// with the greatest logit taken out of the sum so that nothing overflows.
    #[must_use]
    pub fn of(logits: &[f32], token: u32, top: usize, offset: usize) -> Self {
        let total = log_sum_exp(logits);
        let logprob = |logit: f32| {
            let logprob = (f64::from(logit) - total) as f32;
            if logprob.is_finite() {
                logprob.max(UNLIKELY)
            } else {
                UNLIKELY
            }
        };
        let own = logits.get(token as usize).copied();
        let top = likeliest(logits, top).into_iter();
        Self {
            token,
            logprob: Some(own.map_or(UNLIKELY, logprob)),
            top: top.map(|(token, logit)| (token, logprob(logit))).collect(),
            offset,
        }
    }
}

impl TokenLogprobs {
    /// A first token, which `offset` characters stand before.
    #[must_use]
    pub fn untold(token: u32, offset: usize) -> Self {
        Self {
            token,
            logprob: None,
            top: Vec::new(),
            offset,
        }
    }
}

fn finite(logits: &[f32]) -> impl Iterator<Item = (u32, f32)> {
    let all = (0u32..).zip(logits.iter().copied());
    all.filter(|(_, logit)| logit.is_finite())
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = finite(logits).fold(f32::NEG_INFINITY, |best, (_, logit)| best.max(logit));
    let sum: f64 = finite(logits)
        .map(|(_, logit)| f64::from((logit - highest).exp()))
        .sum();
    f64::from(highest) + sum.ln()
}

/// The `count` greatest logits with their tokens, the greatest first. Few are asked for, so most are
/// compared with the least of them alone.
fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    if count == 0 {
        return best;
    }
    for (token, logit) in finite(logits) {
        let is_full = best.len() == count;
        if is_full && best.last().is_some_and(|(_, least)| *least >= logit) {
            continue;
        }
        let place = best.partition_point(|(_, other)| *other >= logit);
        best.insert(place, (token, logit));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_logarithms_of_the_softmax() {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let logits = [4.0f32, 2.0, 1.0, 1.0].map(|share| share.ln() + 3.0);
        let told = TokenLogprobs::of(&logits, 2, 2, 7);
        assert!((told.logprob.unwrap() - 0.125f32.ln()).abs() < 1e-6);
        assert_eq!((told.token, told.offset), (2, 7));
        let [(first, most), (second, less)] = told.top[..] else {
            panic!("two were asked for: {told:?}");
        };
        assert_eq!((first, second), (0, 1));
        assert!((most - 0.5f32.ln()).abs() < 1e-6 && (less - 0.25f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn great_and_missing_logits_stay_finite() {
        let logits = [3e38, f32::NEG_INFINITY, -3e38, f32::NAN];
        let told = TokenLogprobs::of(&logits, 0, 9, 0);
        assert_eq!(told.logprob, Some(0.0));
        assert_eq!(told.top, [(0, 0.0), (2, UNLIKELY)]);
        assert_eq!(TokenLogprobs::of(&logits, 1, 0, 0).logprob, Some(UNLIKELY));
        assert_eq!(TokenLogprobs::of(&[], 0, 3, 0).top, []);
    }

    #[test]
    fn the_likeliest_are_those_of_a_whole_sort() {
        let logits: Vec<f32> = (0..500).map(|i| ((i * 37) % 101) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = finite(&logits).collect();
        sorted.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        for count in [0, 1, 5, 20] {
            assert_eq!(likeliest(&logits, count), sorted[..count]);
        }
    }
}
