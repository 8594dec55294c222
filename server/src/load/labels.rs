//! The labels of a classifier and what its scores mean, by its `config.json`, as the transformers package reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::LoadError;
use super::files::Files;
use crate::models::classifier::Scores;
use crate::models::registry::Encoder;

/// What the package takes where a configuration does not say how many labels there are.
const UNTOLD: usize = 2;

#[derive(Deserialize)]
struct HeadConfig {
    architectures: Option<Vec<String>>,
    /// Names by number, from 0.
    id2label: Option<BTreeMap<usize, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
}

/// The labels of a classifier.
#[derive(Debug)]
pub(super) struct Labels {
    /// How many there are, at least one. What a file says here its weights have yet to bear out.
    pub(super) count: usize,
    pub(super) scores: Scores,
    names: Option<Vec<String>>,
}

impl Labels {
    /// Reads them from the configuration called `name`, if the model is a classifier.
    ///
    /// # Errors
    /// [`LoadError::UnknownArchitecture`] for other heads, [`LoadError::ConfigInvalid`].
    pub(super) fn read(
        files: &Files,
        name: &str,
        encoder: Encoder,
    ) -> Result<Option<Self>, LoadError> {
        let config: HeadConfig = files
            .json(name)?
            .ok_or_else(|| LoadError::config(name, "it is absent"))?;
        let architectures = config.architectures.as_deref().unwrap_or_default();
        match encoder.classifies(architectures)? {
            true => Self::of(config)
                .map(Some)
                .map_err(|problem| LoadError::config(name, problem)),
            false => Ok(None),
        }
    }

    fn of(config: HeadConfig) -> Result<Self, String> {
        let named = config.id2label.as_ref().map(BTreeMap::len);
        let count = named.or(config.num_labels).unwrap_or(UNTOLD);
        if count == 0 {
            return Err("there are no labels; `id2label` has to name at least one".to_owned());
        }
        if let Some(told) = config.num_labels.filter(|told| *told != count) {
            return Err(format!(
                "num_labels is {told}, but `id2label` names {count}; leave one of the two out"
            ));
        }
        let has_gaps = |names: &BTreeMap<usize, String>| !names.keys().copied().eq(0..count);
        if config.id2label.as_ref().is_some_and(has_gaps) {
            let last = count - 1;
            return Err(format!(
                "`id2label` names {count} labels, whose numbers must be 0 to {last}"
            ));
        }
        Ok(Self {
            count,
            scores: scores(config.problem_type.as_deref(), count)?,
            names: config.id2label.map(|names| names.into_values().collect()),
        })
    }

    /// Their names in order; `LABEL_0` and so on where the model has none.
    pub(super) fn names(self) -> Vec<String> {
        let numbered = || (0..self.count).map(|id| format!("LABEL_{id}")).collect();
        self.names.unwrap_or_else(numbered)
    }
}

/// What the package's `TextClassificationPipeline` does to the scores of such a model.
fn scores(problem_type: Option<&str>, count: usize) -> Result<Scores, String> {
    match (problem_type, count) {
        (Some("regression"), _) => Ok(Scores::Raw),
        (Some("multi_label_classification"), _) | (None, 1) => Ok(Scores::Sigmoid),
        (Some("single_label_classification"), 1) => Err(
            "problem_type `single_label_classification` takes two labels or more; with one write \
             `multi_label_classification` or `regression`"
                .to_owned(),
        ),
        (Some("single_label_classification") | None, _) => Ok(Scores::Softmax),
        (Some(other), _) => Err(format!(
            "problem_type `{other}` is not supported; known are single_label_classification, \
             multi_label_classification, regression"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(config: Value) -> Result<Labels, String> {
        let config: HeadConfig = serde_json::from_value(config).map_err(|e| e.to_string())?;
        Labels::of(config)
    }

    fn names(config: Value) -> Vec<String> {
        labels(config).expect("labels").names()
    }

    #[test]
    fn labels_are_named_in_the_order_of_their_numbers() {
        let mut ids = serde_json::Map::new();
        for id in (0..11).rev() {
            ids.insert(id.to_string(), json!(format!("n{id}")));
        }
        let found = names(json!({"id2label": ids, "num_labels": 11}));
        let wanted: Vec<String> = (0..11).map(|id| format!("n{id}")).collect();
        assert_eq!(found, wanted);
        assert_eq!(
            names(json!({"num_labels": 3})),
            ["LABEL_0", "LABEL_1", "LABEL_2"]
        );
        assert_eq!(names(json!({})), ["LABEL_0", "LABEL_1"]);
    }

    #[test]
    fn the_problem_decides_what_becomes_of_scores() {
        let scores = |problem: Value, count: usize| {
            let found = labels(json!({"problem_type": problem, "num_labels": count}));
            found.expect("labels").scores
        };
        for (problem, count, wanted) in [
            (json!(null), 1, Scores::Sigmoid),
            (json!(null), 2, Scores::Softmax),
            (json!("single_label_classification"), 2, Scores::Softmax),
            (json!("multi_label_classification"), 1, Scores::Sigmoid),
            (json!("multi_label_classification"), 3, Scores::Sigmoid),
            (json!("regression"), 1, Scores::Raw),
            (json!("regression"), 2, Scores::Raw),
        ] {
            assert_eq!(scores(problem.clone(), count), wanted, "{problem} {count}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (config, part) in [
            (json!({"num_labels": 0}), "at least one"),
            (json!({"id2label": {}}), "at least one"),
            (json!({"id2label": {"0": "a", "2": "b"}}), "must be 0 to 1"),
            (json!({"id2label": {"1": "a"}}), "must be 0 to 0"),
            (json!({"id2label": {"x": "a"}}), "x"),
            (json!({"id2label": {"0": "a"}, "num_labels": 2}), "names 1"),
            (
                json!({"num_labels": 1, "problem_type": "single_label_classification"}),
                "two labels or more",
            ),
            (json!({"problem_type": "poetry"}), "known are single_label"),
        ] {
            let problem = labels(config.clone()).expect_err("a problem");
            assert!(problem.contains(part), "{config}: {problem}");
        }
    }
}
