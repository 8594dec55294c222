#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::compare::{CompareError, Comparison, Interval};
use chandler_evaluation::verdict::{Outcome, Reason};
use chandler_evaluation::{Bootstrap, Evidence, Limits, compare, verdict};
use common::{Case, OF_TEXTS, case, evidence, suite};
use proptest::prelude::*;

fn bootstrap(seed: u64) -> Bootstrap {
    Bootstrap {
        seed,
        resamples: 1000,
        ..Bootstrap::default()
    }
}

/// Right and wrong answers.
fn marked(right: &[bool]) -> Vec<Case> {
    let answers = right.iter().map(|right| if *right { "yes" } else { "no" });
    answers.map(|answer| case(answer, &["yes"])).collect()
}

fn compared(stable: &[bool], canary: &[bool]) -> Comparison {
    let of = |right| evidence(Metric::ExactMatch, &marked(right));
    compare(&of(stable), &of(canary), bootstrap(1)).unwrap()
}

fn limits(min: Option<f64>, max_regression: Option<f64>) -> Limits {
    Limits {
        min,
        max_regression,
    }
}

#[test]
fn scores_and_their_difference_are_told() {
    let stable = [true, true, true, false];
    let comparison = compared(&stable, &[true, false, true, false]);
    assert_eq!(comparison.items, 4);
    assert_eq!((comparison.stable, comparison.canary), (0.75, 0.5));
    assert_eq!(comparison.difference, -0.25);
    assert_eq!(comparison.regression(), 0.25);
    let Interval { low, high } = comparison.interval.unwrap();
    assert_eq!((low, high), (-0.75, 0.0));
    let turned = comparison.regression_interval().unwrap();
    assert_eq!((turned.low, turned.high), (0.0, 0.75));
}

/// For a mean the bootstrap's standard error has a closed form; the interval is 1.96 of it on either
/// side where there are many items.
#[test]
fn an_interval_of_many_items_is_that_of_a_normal_distribution() {
    let right =
        |period: usize| -> Vec<bool> { (0..900).map(|index| index % period != 0).collect() };
    let (stable, canary) = (right(10), right(3));
    let comparison = compared(&stable, &canary);
    let pairs = stable.iter().zip(&canary);
    let changes: Vec<f64> = pairs
        .map(|(stable, canary)| f64::from(*canary) - f64::from(*stable))
        .collect();
    let mean = changes.iter().sum::<f64>() / 900.0;
    let squares = changes.iter().map(|change| (change - mean).powi(2));
    let error = (squares.sum::<f64>() / 900.0 / 900.0).sqrt();
    let Interval { low, high } = comparison.interval.unwrap();
    assert!((low - (mean - 1.96 * error)).abs() < 0.2 * error, "{low}");
    assert!((high - (mean + 1.96 * error)).abs() < 0.2 * error, "{high}");
}

#[test]
fn only_the_same_items_compare() {
    let yes = evidence(Metric::ExactMatch, &marked(&[true, false]));
    let error = |other: &Evidence, bootstrap| compare(&yes, other, bootstrap).unwrap_err();
    let other = evidence(Metric::Contains, &marked(&[true, false]));
    assert_eq!(
        error(&other, bootstrap(1)).to_string(),
        "the stable revision was scored by exactMatch and the canary by contains"
    );
    let other = evidence(Metric::ExactMatch, &marked(&[true]));
    let counts = CompareError::Counts {
        stable: 2,
        canary: 1,
    };
    assert_eq!(error(&other, bootstrap(1)), counts);
    let text =
        "{\"input\": \"a\", \"references\": \"b\"}\n\n{\"input\": \"a\", \"references\": \"b\"}";
    let shifted = chandler_evaluation::Suite::parse(text, Metric::ExactMatch).unwrap();
    let other = Evidence::of_answers(&shifted, &["a", "b"]).unwrap();
    let items = CompareError::Items {
        stable: "2".to_owned(),
        canary: "3".to_owned(),
    };
    assert_eq!(error(&other, bootstrap(1)), items);
}

#[test]
fn an_interval_that_cannot_be_told_is_refused() {
    let yes = evidence(Metric::ExactMatch, &marked(&[true, false]));
    let refused = |resamples, confidence| {
        let bootstrap = Bootstrap {
            seed: 0,
            resamples,
            confidence,
        };
        compare(&yes, &yes, bootstrap).is_err()
    };
    assert!(!refused(2000, 0.95));
    assert!(!refused(1000, 0.99));
    for (resamples, confidence) in [(99, 0.5), (0, 0.95), (100, 0.99), (1000, 1.0), (1000, 1.5)] {
        assert!(refused(resamples, confidence), "{resamples}, {confidence}");
    }
    for confidence in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(1000, confidence), "{confidence}");
    }
}

#[test]
fn a_single_item_tells_nothing_of_others() {
    let comparison = compared(&[true], &[true]);
    assert_eq!(comparison.interval, None);
    let verdict = verdict(&comparison, limits(Some(0.5), Some(0.1)));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(verdict.reasons.len(), 2);
    let few = Reason::TooFewItems {
        items: 1,
        regression: 0.0,
        max: 0.1,
    };
    assert_eq!(verdict.reasons[1], few);
    assert!(
        verdict.to_string().contains("1 item is too few"),
        "{verdict}"
    );
}

#[test]
fn a_floor_is_held_against_the_score() {
    let comparison = compared(&[true; 4], &[true, true, true, false]);
    let outcome = |min| verdict(&comparison, limits(Some(min), None)).outcome;
    assert_eq!(outcome(0.75), Outcome::Pass);
    assert_eq!(outcome(0.76), Outcome::Fail);
    assert_eq!(outcome(f64::NAN), Outcome::Fail);
    let nothing = verdict(&comparison, Limits::default());
    assert_eq!(nothing.outcome, Outcome::Pass);
    assert_eq!(nothing.reasons, [Reason::NothingAsked]);
}

#[test]
fn a_floor_is_a_ceiling_where_lower_is_better() {
    let one = [case("", &["a"]), case("", &["a"])];
    let suite = suite(Metric::Perplexity, &one);
    let of = |perplexity: f64| {
        let logprobs = vec![vec![-perplexity.ln()]; 2];
        Evidence::of_reference_logprobs(&suite, &logprobs).unwrap()
    };
    let comparison = compare(&of(4.0), &of(8.0), bootstrap(1)).unwrap();
    assert!((comparison.difference - 4.0).abs() < 1e-9);
    assert!((comparison.regression() - 4.0).abs() < 1e-9);
    let outcome = |limits| verdict(&comparison, limits).outcome;
    assert_eq!(outcome(limits(Some(8.0), None)), Outcome::Pass);
    assert_eq!(outcome(limits(Some(7.9), None)), Outcome::Fail);
    // Every resample says the same, so the regression is certain.
    assert_eq!(outcome(limits(None, Some(3.9))), Outcome::Fail);
    assert_eq!(outcome(limits(None, Some(4.0))), Outcome::Pass);
    let better = compare(&of(8.0), &of(4.0), bootstrap(1)).unwrap();
    assert_eq!(
        verdict(&better, limits(None, Some(0.0))).outcome,
        Outcome::Pass
    );
    let verdict = verdict(&comparison, limits(Some(7.9), None));
    assert_eq!(verdict.to_string(), "fail: 8 is worse than min 7.9");
}

#[test]
fn a_regression_is_sure_unsure_or_within_its_limit() {
    let stable = vec![true; 40];
    let worse = |count: usize| -> Vec<bool> { (0..40).map(|index| index >= count).collect() };
    let judged = |count, max| verdict(&compared(&stable, &worse(count)), limits(None, Some(max)));
    assert_eq!(judged(20, 0.1).outcome, Outcome::Fail);
    assert_eq!(judged(6, 0.1).outcome, Outcome::Inconclusive);
    assert_eq!(judged(4, 0.1).outcome, Outcome::Pass);
    assert_eq!(judged(3, 0.1).outcome, Outcome::Pass);
    let [
        Reason::Unsure {
            regression,
            low,
            high,
            max,
        },
    ] = judged(6, 0.1).reasons[..]
    else {
        panic!("{:?}", judged(6, 0.1))
    };
    assert!((regression - 0.15).abs() < 1e-9);
    assert!(low <= max && max < regression && regression < high);
    let text = judged(20, 0.1).to_string();
    assert!(
        text.starts_with("fail: a regression of 0.5, surely 0."),
        "{text}"
    );
}

#[test]
fn the_worst_limit_decides() {
    let comparison = compared(&[true; 10], &[false; 10]);
    let both = verdict(&comparison, limits(Some(0.0), Some(0.1)));
    assert_eq!(both.outcome, Outcome::Fail);
    assert_eq!(both.reasons.len(), 2);
    let text = serde_json::to_string(&both.reasons[1]).unwrap();
    assert_eq!(
        text,
        r#"{"reason":"regressed","regression":1.0,"low":1.0,"max":0.1}"#
    );
}

#[test]
fn limits_are_those_of_the_spec() {
    let spec = chandler_crds::spec::Evaluation {
        min: Some(0.5),
        max_regression: Some(0.02),
        ..Default::default()
    };
    assert_eq!(Limits::from(&spec), limits(Some(0.5), Some(0.02)));
}

fn answers() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = || "(the|cat|sat|on|a|mat)( (the|cat|sat|on|a|mat)){0,9}";
    proptest::collection::vec((text(), text()), 2..20)
}

fn sides(metric: Metric, answers: &[(String, String)]) -> (Evidence, Evidence) {
    let reference = ["the cat sat on the mat"];
    let of = |side: fn(&(String, String)) -> &String| -> Vec<Case> {
        answers
            .iter()
            .map(|pair| case(side(pair), &reference))
            .collect()
    };
    (
        evidence(metric, &of(|pair| &pair.0)),
        evidence(metric, &of(|pair| &pair.1)),
    )
}

proptest! {
    #![proptest_config(common::config(24))]

    #[test]
    fn an_interval_is_the_same_for_the_same_seed(answers in answers(), seed: u64) {
        for metric in OF_TEXTS {
            let (stable, canary) = sides(metric, &answers);
            let first = compare(&stable, &canary, bootstrap(seed)).unwrap();
            prop_assert_eq!(&first, &compare(&stable, &canary, bootstrap(seed)).unwrap());
            let Interval { low, high } = first.interval.unwrap();
            prop_assert!(low <= high);
            prop_assert!(low <= first.difference + 1e-9 && first.difference <= high + 1e-9,
                "{metric:?}: {} not in {low} to {high}", first.difference);
        }
    }

    #[test]
    fn both_ways_tell_the_same(answers in answers(), seed: u64) {
        for metric in OF_TEXTS {
            let (stable, canary) = sides(metric, &answers);
            let there = compare(&stable, &canary, bootstrap(seed)).unwrap();
            let back = compare(&canary, &stable, bootstrap(seed)).unwrap();
            let (one, other) = (there.interval.unwrap(), back.interval.unwrap());
            prop_assert_eq!(there.difference, -back.difference);
            prop_assert_eq!((one.low, one.high), (-other.high, -other.low));
        }
    }

    #[test]
    fn the_same_answers_never_regress(answers in answers(), seed: u64, max in 0.0_f64..1.0) {
        for metric in OF_TEXTS {
            let (stable, _) = sides(metric, &answers);
            let comparison = compare(&stable, &stable, bootstrap(seed)).unwrap();
            prop_assert_eq!(comparison.interval.unwrap(), Interval { low: 0.0, high: 0.0 });
            let verdict = verdict(&comparison, limits(None, Some(max)));
            prop_assert_eq!(verdict.outcome, Outcome::Pass);
        }
    }

    #[test]
    fn a_looser_limit_is_never_the_worse(answers in answers(), a in -0.5_f64..1.0, b in -0.5_f64..1.0) {
        let (loose, tight) = (a.max(b), a.min(b));
        let (stable, canary) = sides(Metric::RougeL, &answers);
        let comparison = compare(&stable, &canary, bootstrap(1)).unwrap();
        let outcome = |max| verdict(&comparison, limits(None, Some(max))).outcome;
        prop_assert!(outcome(loose) <= outcome(tight));
    }
}
