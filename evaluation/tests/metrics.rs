//! What each metric says of small examples, and what must hold of any texts.

#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::evidence::{EvidenceError, Problem};
use chandler_evaluation::metrics::{Embedded, Likely, Needs, Position, properties};
use chandler_evaluation::{Evidence, Suite};
use common::{Case, OF_TEXTS, case, evidence, suite};
use proptest::prelude::*;

fn score(metric: Metric, answer: &str, references: &[&str]) -> f64 {
    evidence(metric, &[case(answer, references)]).score()
}

#[test]
fn an_exact_match_folds_white_space_and_nothing_else() {
    for (answer, references, expected) in [
        ("Paris", &["London", "Paris"][..], 1.0),
        ("\u{a0} New\t\n York\u{3000}", &["New York"], 1.0),
        ("paris", &["Paris"], 0.0),
        ("Paris.", &["Paris"], 0.0),
        ("cafe\u{301}", &["café"], 0.0),
        (" \n", &[""], 1.0),
        ("NewYork", &["New York"], 0.0),
    ] {
        assert_eq!(
            score(Metric::ExactMatch, answer, references),
            expected,
            "{answer:?}"
        );
    }
}

#[test]
fn a_part_of_an_answer_is_found() {
    for (answer, references, expected) in [
        ("It is Paris, of course.", &["London", "Paris"][..], 1.0),
        ("It is New\n York.", &["New York"], 1.0),
        ("It is paris.", &["Paris"], 0.0),
        ("", &["Paris"], 0.0),
    ] {
        assert_eq!(
            score(Metric::Contains, answer, references),
            expected,
            "{answer:?}"
        );
    }
}

#[test]
fn a_pattern_matches_anywhere_unless_it_is_tied() {
    for (answer, references, expected) in [
        ("The answer is 42.", &[r"\b42\b"][..], 1.0),
        ("The answer is 142.", &[r"\b42\b", "^42"], 0.0),
        ("42", &["^42$"], 1.0),
        ("PARIS", &["(?i)paris"], 1.0),
        ("Größe", &[r"^\w+$"], 1.0),
    ] {
        assert_eq!(
            score(Metric::Regex, answer, references),
            expected,
            "{answer:?}"
        );
    }
    // What would take other engines for ever.
    let long = "a".repeat(50_000) + "!";
    assert_eq!(score(Metric::Regex, &long, &["^(a|a)*(a+)+$"]), 0.0);
}

#[test]
fn a_mean_is_weighted() {
    let mut cases = [case("a", &["a"]), case("b", &["a"])];
    cases[0].weight = 3.0;
    assert_eq!(evidence(Metric::ExactMatch, &cases).score(), 0.75);
    assert_eq!(
        evidence(Metric::ExactMatch, &cases).item_scores(),
        [1.0, 0.0]
    );
}

#[test]
fn diversity_falls_as_answers_repeat() {
    let same = vec![case("one and the same answer to all", &[]); 4];
    let different = [
        "red green blue sky",
        "one two three four",
        "do re mi fa",
        "up and down we go",
    ];
    let different = different.map(|answer| case(answer, &[]));
    assert_eq!(evidence(Metric::SelfBleu, &same).score(), 100.0);
    assert_eq!(evidence(Metric::SelfBleu, &different).score(), 0.0);
    assert_eq!(evidence(Metric::DistinctN, &same).score(), 0.25);
    assert_eq!(evidence(Metric::DistinctN, &different).score(), 1.0);
}

#[test]
fn vectors_and_probabilities_are_scored_over_the_suite() {
    let two = [case("", &["a"]), case("", &["a"])];
    let embedded = |answer: [f32; 2]| Embedded {
        answer: answer.to_vec(),
        references: vec![vec![1.0, 0.0]],
    };
    let suite_of = |metric| suite(metric, &two);
    let vectors = [embedded([2.0, 0.0]), embedded([0.0, 1.0])];
    let evidence =
        Evidence::of_embeddings(&suite_of(Metric::EmbeddingSimilarity), &vectors).unwrap();
    assert_eq!(evidence.score(), 0.5);

    // Three tokens among 2, one among 32: exp of (3 ln 2 + ln 32) / 4 is 4.
    let half = -(2.0_f64.ln());
    let logprobs = [vec![half; 3], vec![5.0 * half]];
    let evidence =
        Evidence::of_reference_logprobs(&suite_of(Metric::Perplexity), &logprobs).unwrap();
    assert!((evidence.score() - 4.0).abs() < 1e-12);
    assert!((evidence.item_scores()[1] - 32.0).abs() < 1e-9);

    let likely = |token: &str, probability: f64| Likely {
        token: token.to_owned(),
        logprob: probability.ln(),
    };
    let position = Position {
        stable: vec![likely("a", 0.5), likely("b", 0.5)],
        canary: vec![likely("a", 0.25), likely("b", 0.75)],
    };
    let positions = [vec![position.clone(), position], vec![]];
    let (stable, canary) =
        Evidence::of_next_tokens(&suite_of(Metric::KlDivergence), &positions).unwrap();
    let expected = 0.5 * 2.0_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln();
    assert_eq!(stable.score(), 0.0);
    assert!((canary.score() - expected).abs() < 1e-12);
    assert_eq!(canary.item_scores()[1], 0.0);
}

#[test]
fn what_cannot_be_scored_is_told() {
    let one = [case("", &["a"])];
    let answers = [""];
    let wrong = Evidence::of_answers(&suite(Metric::Perplexity, &one), &answers).unwrap_err();
    let expected = EvidenceError::WrongInput {
        metric: "perplexity",
        needs: Needs::ReferenceLogprobs,
        given: Needs::Answers,
    };
    assert_eq!(wrong, expected);
    assert_eq!(
        wrong.to_string(),
        "perplexity is computed from log probabilities of the references' tokens, not from answers"
    );
    let none: [&str; 0] = [];
    let few = Evidence::of_answers(&suite(Metric::Bleu, &one), &none).unwrap_err();
    assert_eq!(few, EvidenceError::Count { items: 1, given: 0 });
    let alone = Evidence::of_answers(&suite(Metric::SelfBleu, &one), &answers).unwrap_err();
    assert_eq!(alone, EvidenceError::OneAnswer);
    let suite = Suite::parse(
        r#"{"id": "x", "input": "a", "references": "b"}"#,
        Metric::Perplexity,
    );
    let item = Evidence::of_reference_logprobs(&suite.unwrap(), &[vec![]]).unwrap_err();
    let id = "x".to_owned();
    let problem = Problem::NoTokens;
    assert_eq!(item, EvidenceError::Item { id, problem });
}

/// Texts of few words, so that they have some in common, and any others.
fn text() -> impl Strategy<Value = String> {
    let words = proptest::collection::vec("(the|cat|sat|on|a|mat|1,5|Grüße|猫|🙂|-|\\.)", 0..14);
    prop_oneof![
        4 => words.prop_map(|words| words.join(" ")),
        1 => "\\PC{0,30}",
        1 => "[\\x00-\\x7f]{0,30}",
    ]
}

fn cases(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Case>> {
    let references = proptest::collection::vec(text(), 1..4);
    let case = (text(), references, 1_u32..4).prop_map(|(answer, references, weight)| Case {
        answer,
        // No pattern but what the text says, and none that is empty.
        references: references
            .iter()
            .map(|text| format!("x{}", text.replace(|c: char| !c.is_alphanumeric(), " ")))
            .collect(),
        weight: f64::from(weight),
    });
    proptest::collection::vec(case, count)
}

proptest! {
    #![proptest_config(common::config(64))]

    #[test]
    fn scores_are_within_their_range(cases in cases(2..8)) {
        for metric in OF_TEXTS {
            let evidence = evidence(metric, &cases);
            let properties = properties(metric);
            let range = properties.lowest..=properties.highest.unwrap();
            prop_assert!(range.contains(&evidence.score()), "{metric:?}: {}", evidence.score());
            for score in evidence.item_scores() {
                prop_assert!(
                    *score >= *range.start() && *score <= range.end() + 1e-9,
                    "{metric:?}: {score}"
                );
            }
        }
    }

    #[test]
    fn equal_texts_have_the_best_score(texts in proptest::collection::vec("[a-z]{1,8}( [a-z]{1,8}){3,9}", 1..6)) {
        let cases: Vec<_> = texts.iter().map(|text| case(text, &["something else", text])).collect();
        for metric in [Metric::ExactMatch, Metric::Contains, Metric::Regex, Metric::Bleu, Metric::Chrf, Metric::RougeL] {
            let evidence = evidence(metric, &cases);
            let best = properties(metric).highest.unwrap();
            prop_assert!((evidence.score() - best).abs() < 1e-9, "{metric:?}: {}", evidence.score());
            for score in evidence.item_scores() {
                prop_assert!((score - best).abs() < 1e-9, "{metric:?}: {score}");
            }
        }
    }

    #[test]
    fn the_order_of_items_does_not_matter(cases in cases(2..8), turn in 0_usize..8) {
        let mut turned = cases.clone();
        turned.rotate_left(turn % cases.len());
        for metric in OF_TEXTS {
            let (before, after) = (evidence(metric, &cases).score(), evidence(metric, &turned).score());
            prop_assert!((before - after).abs() < 1e-9, "{metric:?}: {before} and {after}");
        }
    }

    #[test]
    fn a_weight_of_two_is_the_item_twice(cases in cases(2..6), chosen in 0_usize..6) {
        let chosen = chosen % cases.len();
        let mut twice = cases.clone();
        twice.push(cases[chosen].clone());
        let mut weighted = cases.clone();
        weighted[chosen].weight *= 2.0;
        // Diversity is that of a set: an answer that is there twice is repeated.
        for metric in OF_TEXTS.into_iter().take(6) {
            let (twice, weighted) = (evidence(metric, &twice).score(), evidence(metric, &weighted).score());
            prop_assert!((twice - weighted).abs() < 1e-9, "{metric:?}: {twice} and {weighted}");
        }
    }

    #[test]
    fn distinct_n_is_what_counting_gives(
        words in proptest::collection::vec(proptest::collection::vec("(the|cat|sat|on|a|mat)", 0..9), 2..8),
    ) {
        let cases: Vec<_> = words.iter().map(|words| case(&words.join(" "), &[])).collect();
        let pairs: Vec<_> = words.iter().flat_map(|words| words.windows(2)).collect();
        let distinct = pairs.iter().collect::<std::collections::BTreeSet<_>>().len();
        let expected = if pairs.is_empty() { 0.0 } else { distinct as f64 / pairs.len() as f64 };
        let evidence = evidence(Metric::DistinctN, &cases);
        prop_assert!((evidence.score() - expected).abs() < 1e-9);
        // The suite's score is the mean of the items', weighted by their pairs.
        let counts = words.iter().map(|words| words.windows(2).len() as f64);
        let weighted = evidence.item_scores().iter().zip(counts).map(|(score, count)| score * count);
        prop_assert!((weighted.sum::<f64>() - expected * pairs.len() as f64).abs() < 1e-9);
    }
}
