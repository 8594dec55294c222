//! What a new revision's answers must reach, out of the wire's `rollout.evaluation`.

use std::collections::BTreeSet;

use chandler_crds::spec::{Evaluation, EvaluationMetric, Strategy};

use super::Invalid;
use super::rollout::{TakeOver, refused};

const FIELD: &str = "spec.rollout.evaluation";
/// Longest name: what twenty evaluations come to has to fit into one termination message.
const NAME_LENGTH: usize = 40;

/// A gate that is asked for and can't be kept must not be waved through: it is refused.
pub(super) fn check(strategy: TakeOver, asked: &[Evaluation], invalid: &mut Vec<Invalid>) {
    let mut refuse = |message: String| invalid.push(refused(FIELD, message));
    if strategy == TakeOver::Recreate && !asked.is_empty() {
        let strategy = Strategy::from(strategy);
        refuse(format!(
            "compares two revisions, and with strategy {strategy} the old one is gone: write canary or blueGreen"
        ));
    }
    let mut names = BTreeSet::new();
    for evaluation in asked {
        let name = evaluation.name.as_str();
        if let Some(problem) = problem(evaluation) {
            refuse(format!("`{name}` {problem}"));
        }
        if !names.insert(name) {
            refuse(format!(
                "has two named `{name}`: write another name for one"
            ));
        }
    }
}

fn problem(asked: &Evaluation) -> Option<String> {
    let limits = [asked.min, asked.max_regression];
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if asked.name.is_empty() || asked.name.len() > NAME_LENGTH || !asked.name.chars().all(is_name) {
        return Some(format!(
            "is no name: write up to {NAME_LENGTH} letters, digits, `-`, `_` and `.`"
        ));
    }
    if asked.suite_ref.name.is_empty() {
        return Some("names no suite: write the name of a ConfigMap as suiteRef.name".to_owned());
    }
    if !limits.iter().flatten().all(|limit| limit.is_finite()) {
        return Some("has a limit that is no number: write such as 0.6".to_owned());
    }
    if limits.iter().all(Option::is_none) {
        return Some("needs a limit: write such as min: 0.6 or maxRegression: 0.05".to_owned());
    }
    if asked.max_regression.is_some_and(|most| most < 0.0) {
        return Some("has a maxRegression below 0: write such as 0.05".to_owned());
    }
    match (asked.metric, asked.embedding_model()) {
        (EvaluationMetric::EmbeddingSimilarity, None | Some("")) => {
            let words = "needs a model that makes vectors: write the name of a ModelDeployment as embeddingModelRef.name";
            Some(words.to_owned())
        }
        (metric, Some(_)) if metric != EvaluationMetric::EmbeddingSimilarity => Some(format!(
            "has an embeddingModelRef, which {metric} makes no use of: remove it, or write metric: embeddingSimilarity"
        )),
        _ => None,
    }
}
