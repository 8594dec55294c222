#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use chandler_crds::spec::EvaluationMetric;
use chandler_evaluation::{Evidence, Suite};
use proptest::test_runner::Config;
use serde_json::json;

/// The metrics that are computed from texts alone.
pub const OF_TEXTS: [EvaluationMetric; 8] = [
    EvaluationMetric::ExactMatch,
    EvaluationMetric::Contains,
    EvaluationMetric::Regex,
    EvaluationMetric::Bleu,
    EvaluationMetric::Chrf,
    EvaluationMetric::RougeL,
    EvaluationMetric::DistinctN,
    EvaluationMetric::SelfBleu,
];

/// For so many cases. A case that failed becomes a test of its own, not a file.
pub fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

/// What one revision answered to one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub answer: String,
    pub references: Vec<String>,
    pub weight: f64,
}

pub fn case(answer: &str, references: &[&str]) -> Case {
    Case {
        answer: answer.to_owned(),
        references: references.iter().map(|text| (*text).to_owned()).collect(),
        weight: 1.0,
    }
}

pub fn suite(metric: EvaluationMetric, cases: &[Case]) -> Suite {
    let lines = cases.iter().map(|case| {
        let item = json!({
            "input": "A question",
            "references": case.references,
            "weight": case.weight,
        });
        item.to_string()
    });
    Suite::parse(&lines.collect::<Vec<_>>().join("\n"), metric).unwrap()
}

pub fn evidence(metric: EvaluationMetric, cases: &[Case]) -> Evidence {
    let answers: Vec<_> = cases.iter().map(|case| case.answer.as_str()).collect();
    Evidence::of_answers(&suite(metric, cases), &answers).unwrap()
}
