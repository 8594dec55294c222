//! How often the interval holds the truth, where the truth is known.

#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::{Bootstrap, compare};
use common::{Case, case, evidence};

/// SplitMix64, see `src/random.rs`.
struct Dice(Cell<u64>);

impl Dice {
    fn number(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = self.0.get();
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `[0, 1)`.
    fn share(&self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The share of suites whose interval holds `truth`.
fn coverage(
    metric: Metric,
    suites: u64,
    truth: f64,
    draw: impl Fn(&Dice) -> (Vec<Case>, Vec<Case>),
) -> f64 {
    let dice = Dice(Cell::new(42));
    let held = (0..suites).filter(|seed| {
        let (stable, canary) = draw(&dice);
        let bootstrap = Bootstrap {
            seed: *seed,
            resamples: 1000,
            confidence: 0.95,
        };
        let compared = compare(
            &evidence(metric, &stable),
            &evidence(metric, &canary),
            bootstrap,
        );
        let interval = compared.unwrap().interval.unwrap();
        interval.low <= truth && truth <= interval.high
    });
    held.count() as f64 / suites as f64
}

/// Hard questions are hard for both revisions: what a paired bootstrap is for.
#[test]
fn of_the_difference_of_two_shares() {
    let mark = |right: bool| case(if right { "yes" } else { "no" }, &["yes"]);
    let draw = |dice: &Dice| {
        let items = (0..100).map(|_| {
            let hard = dice.share() < 0.5;
            let (stable, canary) = if hard { (0.6, 0.4) } else { (0.95, 0.9) };
            (mark(dice.share() < stable), mark(dice.share() < canary))
        });
        items.unzip()
    };
    let truth = 0.5 * (0.4 - 0.6) + 0.5 * (0.9 - 0.95);
    let coverage = coverage(Metric::ExactMatch, 1000, truth, draw);
    println!("exactMatch: {coverage}");
    assert!((0.90..=0.98).contains(&coverage), "{coverage}");
}

/// Forty answers of six words among `words`, rare ones less often.
fn answers(dice: &Dice, words: f64) -> Vec<Case> {
    let word = || format!("w{}", (words * dice.share() * dice.share()) as u32);
    let answer = || (0..6).map(|_| word()).collect::<Vec<_>>().join(" ");
    (0..40).map(|_| case(&answer(), &[])).collect()
}

/// The jackknife's variance is too large rather than too small, so more than 98 % is no failure.
#[test]
fn of_the_difference_of_shares_of_distinct_n_grams() {
    let dice = Dice(Cell::new(7));
    let mean = |words: f64| {
        let scores = (0..3000).map(|_| evidence(Metric::DistinctN, &answers(&dice, words)).score());
        scores.sum::<f64>() / 3000.0
    };
    let truth = mean(12.0) - mean(20.0);
    let draw = |dice: &Dice| (answers(dice, 20.0), answers(dice, 12.0));
    let coverage = coverage(Metric::DistinctN, 400, truth, draw);
    println!("distinctN: {coverage} of {truth}");
    assert!(coverage >= 0.90, "{coverage}");
}
