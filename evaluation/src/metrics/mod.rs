//! How answers are scored, one file a metric.
//!
//! Each metric turns an item into a few additive numbers, its sufficient statistics. The score of a
//! suite is a function of their sum, so a resampled suite costs one sum and no text is read twice.
//! An item's weight multiplies its statistics: weight 2 is the item written twice.

pub(crate) mod bleu;
pub(crate) mod chrf;
pub(crate) mod contains;
pub(crate) mod distinct_n;
pub(crate) mod embedding;
pub(crate) mod exact_match;
pub(crate) mod kl_divergence;
pub(crate) mod mean;
mod ngrams;
pub(crate) mod perplexity;
pub(crate) mod regex;
pub(crate) mod rouge_l;
pub(crate) mod self_bleu;
mod tokens;

use chandler_crds::spec::EvaluationMetric;
use serde::{Deserialize, Serialize};

pub use chrf::chrf;
pub use embedding::Embedded;
pub use kl_divergence::{Likely, Position};

/// What is known of a metric before anything is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// As `spec.rollout.evaluation[].metric` writes it.
    pub name: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// The least score there is.
    pub lowest: f64,
    /// The greatest score there is, if there is one.
    pub highest: Option<f64>,
    /// What the score counts.
    pub unit: &'static str,
    /// What a revision has to give for each item.
    pub needs: Needs,
    /// Whether an item must have references.
    pub needs_references: bool,
}

/// Which way a score is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// A greater score is a better one.
    HigherIsBetter,
    /// A smaller score is a better one.
    LowerIsBetter,
}

/// What a metric is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The answers' texts.
    Answers,
    /// Vectors of the answers and of their references.
    Embeddings,
    /// Log probabilities of the references' tokens.
    ReferenceLogprobs,
    /// The likeliest next tokens of both revisions, position by position.
    NextTokens,
}

impl Needs {
    /// The same, for an error message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Embeddings => "embeddings of answers and references",
            Self::ReferenceLogprobs => "log probabilities of the references' tokens",
            Self::NextTokens => "the likeliest next tokens of both revisions",
        }
    }
}

impl Direction {
    /// How much worse `canary` is than `stable`, in the unit of the score; negative if it is better.
    #[must_use]
    pub fn regression(self, stable: f64, canary: f64) -> f64 {
        match self {
            Self::HigherIsBetter => stable - canary,
            Self::LowerIsBetter => canary - stable,
        }
    }
}

/// What is known of a metric.
#[must_use]
pub fn properties(metric: EvaluationMetric) -> Properties {
    use EvaluationMetric as Metric;
    match metric {
        Metric::ExactMatch => of_answers("exactMatch", "share of answers", 1.0),
        Metric::Contains => of_answers("contains", "share of answers", 1.0),
        Metric::Regex => of_answers("regex", "share of answers", 1.0),
        Metric::Bleu => of_answers("bleu", "points", 100.0),
        Metric::Chrf => of_answers("chrf", "points", 100.0),
        Metric::RougeL => of_answers("rougeL", "F1", 1.0),
        Metric::EmbeddingSimilarity => Properties {
            lowest: -1.0,
            needs: Needs::Embeddings,
            ..of_answers("embeddingSimilarity", "cosine", 1.0)
        },
        Metric::Perplexity => Properties {
            lowest: 1.0,
            ..unbounded("perplexity", "tokens", Needs::ReferenceLogprobs)
        },
        Metric::KlDivergence => Properties {
            needs_references: false,
            ..unbounded("klDivergence", "nats a position", Needs::NextTokens)
        },
        Metric::DistinctN => Properties {
            needs_references: false,
            ..of_answers("distinctN", "share of n-grams", 1.0)
        },
        Metric::SelfBleu => Properties {
            direction: Direction::LowerIsBetter,
            needs_references: false,
            ..of_answers("selfBleu", "points", 100.0)
        },
    }
}

/// Of most metrics that look at texts.
fn of_answers(name: &'static str, unit: &'static str, highest: f64) -> Properties {
    Properties {
        name,
        direction: Direction::HigherIsBetter,
        lowest: 0.0,
        highest: Some(highest),
        unit,
        needs: Needs::Answers,
        needs_references: true,
    }
}

/// Of metrics that look at probabilities.
fn unbounded(name: &'static str, unit: &'static str, needs: Needs) -> Properties {
    Properties {
        direction: Direction::LowerIsBetter,
        highest: None,
        needs,
        ..of_answers(name, unit, 0.0)
    }
}

/// The score of a suite whose items' statistics sum up to `sum`.
pub(crate) fn score(metric: EvaluationMetric, sum: &[f64]) -> f64 {
    match metric {
        EvaluationMetric::Bleu => bleu::score(sum),
        EvaluationMetric::Chrf => chrf::score(sum),
        EvaluationMetric::Perplexity => perplexity::score(sum),
        _ => mean::score(sum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_those_of_the_spec() {
        let names = [
            "exactMatch",
            "contains",
            "regex",
            "bleu",
            "chrf",
            "rougeL",
            "embeddingSimilarity",
            "perplexity",
            "klDivergence",
            "distinctN",
            "selfBleu",
        ];
        let mut seen = BTreeSet::new();
        for name in names {
            let metric = serde_json::from_value(name.into()).expect("a metric of the spec");
            assert_eq!(properties(metric).name, name);
            assert!(seen.insert(name));
        }
        assert_eq!(seen.len(), 11);
    }
}
