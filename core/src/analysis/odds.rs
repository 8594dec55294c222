//! Evidence that one revision's requests do something more often than another's, or less often, in
//! the same time.
//!
//! Requests are taken in blocks. In a block it counts only whose they were that did it: given how
//! many did in all, that number has a hypergeometric distribution if it makes no difference whose a
//! request is, and R. A. Fisher's noncentral one with odds of `θ` if the one's do it with odds that
//! are `θ` times the other's. How likely either does it, and how that changes from block to block
//! with the load, falls out. The ratio of the two is a bet as in [`super::share`], and a
//! supermartingale too while the odds are at most 1 (or at least 1, for `θ < 1`), since the
//! distributions have a monotone likelihood ratio. Tests of this kind are those of R. J. Turner, A. Ly
//! and P. D. Grünwald, *Generic E-variables for exact sequential k-sample tests that allow for
//! optional stopping*, Journal of Statistical Planning and Inference 230, 2024.

use super::mean::LogMean;

/// Odds of the alternatives. Those below 1 are these upside down.
const ODDS: [f64; 5] = [1.15, 1.3, 1.6, 2.5, 6.0];

/// The bet, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct Odds {
    /// The odds of each alternative, and the logarithm of its ratio.
    alternatives: Vec<(f64, f64)>,
}

/// How many of a block's requests did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Requests of the one revision, and how many of them did it.
    pub(super) one: (u64, u64),
    /// The same of the other.
    pub(super) other: (u64, u64),
}

impl Odds {
    /// Against the one's being no more likely to do it.
    pub(super) fn above() -> Self {
        Self::against(&ODDS)
    }

    /// Against the one's being no less likely to do it.
    pub(super) fn below() -> Self {
        Self::against(&ODDS.map(f64::recip))
    }

    fn against(odds: &[f64]) -> Self {
        Self {
            alternatives: odds.iter().map(|odds| (*odds, 0.0)).collect(),
        }
    }

    /// Takes note of a block.
    pub(super) fn note(&mut self, block: Block) {
        let did = block.one.1 + block.other.1;
        if did == 0 || did == block.one.0 + block.other.0 {
            return; // It tells nothing of whose they are.
        }
        let hits = block.one.1 as f64;
        for (odds, ratio) in &mut self.alternatives {
            *ratio += hits * odds.ln() - block.mean_power(odds.ln());
        }
    }

    /// The logarithm of the evidence.
    pub(super) fn evidence(&self) -> f64 {
        let ratios = self.alternatives.iter().map(|(_, ratio)| *ratio);
        ratios.collect::<LogMean>().value()
    }
}

impl Block {
    /// Logarithm of the mean of `e^(k·log_odds)`, where `k` is how many of those that did it are the
    /// one's if it makes no difference whose a request is.
    fn mean_power(self, log_odds: f64) -> f64 {
        let (one, other) = (self.one.0 as f64, self.other.0 as f64);
        let did = (self.one.1 + self.other.1) as f64;
        let (fewest, most) = ((did - other).max(0.0), did.min(one));
        // Weights relative to the first, by their ratios.
        let (mut log_weight, mut hits) = (0.0, fewest);
        let (mut all, mut powers) = (Vec::new(), Vec::new());
        while hits <= most {
            all.push(log_weight);
            powers.push(log_weight + hits * log_odds);
            let ratio = (did - hits) * (one - hits) / ((hits + 1.0) * (other - did + hits + 1.0));
            log_weight += ratio.ln();
            hits += 1.0;
        }
        let mean = |logs: Vec<f64>| logs.into_iter().collect::<LogMean>().value();
        mean(powers) - mean(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(one: (u64, u64), other: (u64, u64)) -> Block {
        Block { one, other }
    }

    #[test]
    fn evidence_grows_with_the_difference() {
        for (one, other, more, less) in [
            ((100, 20), (100, 5), true, false),
            ((100, 5), (100, 20), false, true),
            ((100, 10), (100, 10), false, false),
            ((100, 0), (100, 0), false, false),
            ((100, 100), (10, 10), false, false),
        ] {
            let (mut above, mut below) = (Odds::above(), Odds::below());
            above.note(block(one, other));
            below.note(block(one, other));
            assert_eq!(above.evidence() > 3.0, more, "{one:?} {other:?}");
            assert_eq!(below.evidence() > 3.0, less, "{one:?} {other:?}");
        }
    }

    /// By its definition, with binomial coefficients.
    fn mean_power(one: u64, other: u64, did: u64, odds: f64) -> f64 {
        fn choose(n: u64, k: u64) -> f64 {
            (0..k).map(|it| (n - it) as f64 / (it + 1) as f64).product()
        }
        let (fewest, most) = (did.saturating_sub(other), did.min(one));
        let hits = fewest..=most;
        let chance = |k: u64| choose(one, k) * choose(other, did - k) / choose(one + other, did);
        hits.map(|k| chance(k) * odds.powi(k as i32)).sum()
    }

    #[test]
    fn the_mean_is_that_of_the_hypergeometric_distribution() {
        for (one, other, did) in [(3, 5, 4), (8, 2, 5), (5, 40, 7), (1, 1, 1), (6, 6, 11)] {
            for odds in [0.25, 1.0, 1.5, 6.0] {
                let hits = did.min(one);
                let found = block((one, hits), (other, did - hits)).mean_power(f64::ln(odds));
                let wanted = mean_power(one, other, did, odds).ln();
                assert!((found - wanted).abs() < 1e-9, "{one} {other} {did} {odds}");
            }
        }
    }

    #[test]
    fn the_mean_of_what_a_block_brings_is_no_gain_where_it_makes_no_difference() {
        let (one, other, did) = (6, 9, 5);
        let mut mean = 0.0;
        for hits in 0..=did {
            let mut odds = Odds::above();
            odds.note(block((one, hits), (other, did - hits)));
            // A mean with odds of 1 at one of the hits alone is its chance.
            let choose = |n: u64, k: u64| -> f64 {
                (0..k).map(|it| (n - it) as f64 / (it + 1) as f64).product()
            };
            let chance = choose(one, hits) * choose(other, did - hits) / choose(one + other, did);
            mean += chance * odds.evidence().exp();
        }
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
    }
}
