//! Evidence that a share of requests is above a bound, or below it.
//!
//! It is a bet against the bound: for each of some alternatives, how much likelier the requests are
//! under it than under the bound. While the bound holds, whatever the order of the requests and
//! however the share moves, each such ratio is a supermartingale that begins at 1, and so is their
//! mean. By Ville's inequality (J. Ville, *Étude critique de la notion de collectif*, 1939) it ever
//! reaches `1/α` with a probability of at most `α`, so it may be looked at after each request. The
//! mean over alternatives is H. Robbins' method of mixtures (*Statistical methods related to the law
//! of the iterated logarithm*, 1970).

use super::mean::LogMean;

/// The odds of the alternatives to the bound, as multiples of its own.
const ABOVE: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 6.0, 20.0];
/// The same below it.
const BELOW: [f64; 6] = [0.8, 0.6, 0.4, 0.2, 0.05, 0.001];

/// The bet, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct Share {
    bound: f64,
    /// The share of each alternative, and the logarithm of its ratio.
    alternatives: Vec<(f64, f64)>,
}

impl Share {
    /// Against a share of at most `bound`, which is between 0 and 1.
    pub(super) fn above(bound: f64) -> Self {
        Self::against(bound, &ABOVE)
    }

    /// Against a share of at least `bound`, which is between 0 and 1.
    pub(super) fn below(bound: f64) -> Self {
        Self::against(bound, &BELOW)
    }

    fn against(bound: f64, multiples: &[f64]) -> Self {
        let odds = bound / (1.0 - bound);
        let alternatives = multiples.iter().map(|multiple| odds * multiple);
        Self {
            bound,
            alternatives: alternatives
                .map(|odds| (odds / (1.0 + odds), 0.0))
                .collect(),
        }
    }

    /// Takes note of requests, of which `hits` are of the share.
    pub(super) fn note(&mut self, hits: u64, misses: u64) {
        let (hits, misses) = (hits as f64, misses as f64);
        for (share, ratio) in &mut self.alternatives {
            let of_hit = (*share / self.bound).ln();
            let of_miss = ((1.0 - *share) / (1.0 - self.bound)).ln();
            *ratio += hits * of_hit + misses * of_miss;
        }
    }

    /// The logarithm of the evidence.
    pub(super) fn evidence(&self) -> f64 {
        let ratios = self.alternatives.iter().map(|(_, ratio)| *ratio);
        ratios.collect::<LogMean>().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_grows_with_what_the_bound_forbids_and_shrinks_otherwise() {
        let mut above = Share::above(0.01);
        let mut below = Share::below(0.01);
        assert!(above.evidence().abs() < 1e-12 && below.evidence().abs() < 1e-12);
        above.note(60, 2940);
        below.note(60, 2940);
        assert!(above.evidence() > 7.0, "{}", above.evidence());
        assert!(below.evidence() < -4.0, "{}", below.evidence());
        let mut good = Share::below(0.01);
        good.note(0, 600);
        assert!(good.evidence() > 3.0, "{}", good.evidence());
    }

    #[test]
    fn the_mean_of_what_a_request_brings_is_no_gain_at_the_bound() {
        for (bound, share) in [(0.01, Share::above(0.01)), (0.3, Share::below(0.3))] {
            let (mut hit, mut miss) = (share.clone(), share);
            hit.note(1, 0);
            miss.note(0, 1);
            let mean = bound * hit.evidence().exp() + (1.0 - bound) * miss.evidence().exp();
            assert!((mean - 1.0).abs() < 1e-12, "{bound}: {mean}");
        }
    }
}
