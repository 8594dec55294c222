//! The scores that sacrebleu and rouge-score give, as `fixtures/make_reference_scores.py` wrote them.

#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::spec::EvaluationMetric;
use common::{Case, evidence};
use serde_json::Value;

/// Points of BLEU and chrF, and of F1.
const TOLERANCE: f64 = 1e-9;

const METRICS: [(&str, EvaluationMetric); 3] = [
    ("bleu", EvaluationMetric::Bleu),
    ("chrf", EvaluationMetric::Chrf),
    ("rougeL", EvaluationMetric::RougeL),
];

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/reference_scores.json")).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn case(item: &Value, weight: f64) -> Case {
    let references = array(&item["references"]).iter();
    Case {
        answer: item["answer"].as_str().unwrap().to_owned(),
        references: references
            .map(|text| text.as_str().unwrap().to_owned())
            .collect(),
        weight,
    }
}

/// Tells the greatest deviation of a metric, and where it is.
fn check(name: &str, scores: impl Iterator<Item = (String, f64, f64)>) {
    let deviations = scores.map(|(place, ours, theirs)| ((ours - theirs).abs(), place));
    let (greatest, place) = deviations.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    println!("{name}: off by {greatest:e} at most, at {place}");
    assert!(
        greatest <= TOLERANCE,
        "{name}: off by {greatest} at {place}"
    );
}

#[test]
fn each_pair_has_its_score() {
    let fixture = fixture();
    let items = array(&fixture["items"]);
    assert!(items.len() >= 200);
    for (name, metric) in METRICS {
        let cases: Vec<_> = items.iter().map(|item| case(item, 1.0)).collect();
        let evidence = evidence(metric, &cases);
        let pairs = evidence.item_scores().iter().zip(items).enumerate();
        let scores = pairs.map(|(index, (ours, item))| {
            (format!("pair {index}"), *ours, item[name].as_f64().unwrap())
        });
        check(name, scores);
    }
}

#[test]
fn each_corpus_has_its_score() {
    let fixture = fixture();
    let items = array(&fixture["items"]);
    for (name, metric) in METRICS {
        let scores = array(&fixture["corpora"]).iter().map(|corpus| {
            let indices = array(&corpus["items"]).iter();
            let cases = indices.map(|index| {
                let index = usize::try_from(index.as_u64().unwrap()).unwrap();
                case(&items[index], 1.0)
            });
            let ours = evidence(metric, &cases.collect::<Vec<_>>()).score();
            (
                corpus["name"].to_string(),
                ours,
                corpus[name].as_f64().unwrap(),
            )
        });
        check(name, scores);
    }
}

/// A weight stands for so many of an item.
#[test]
fn a_corpus_with_repetitions_has_the_score_of_weights() {
    let fixture = fixture();
    let items = array(&fixture["items"]);
    let repeating = array(&fixture["corpora"])
        .iter()
        .filter(|corpus| corpus["name"].as_str().unwrap().ends_with("several times"));
    let repeating: Vec<_> = repeating.collect();
    assert_eq!(repeating.len(), 2);
    for (name, metric) in METRICS {
        let scores = repeating.iter().map(|corpus| {
            let indices = array(&corpus["items"]);
            let counted = (0..items.len()).map(|index| {
                let times = indices.iter().filter(|other| **other == index);
                (index, times.count())
            });
            let cases = counted
                .filter(|(_, times)| *times > 0)
                .map(|(index, times)| case(&items[index], times as f64));
            let ours = evidence(metric, &cases.collect::<Vec<_>>()).score();
            (
                corpus["name"].to_string(),
                ours,
                corpus[name].as_f64().unwrap(),
            )
        });
        check(name, scores);
    }
}
