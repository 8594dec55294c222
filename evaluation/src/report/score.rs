//! One revision by itself: its score, with no other one to compare it with.

use chandler_crds::spec::EvaluationMetric;
use serde::{Deserialize, Serialize};

use super::{Answer, Side, digest, html, metric_text, number, table};
use crate::metrics::{self, Direction};
use crate::suite::Suite;
use crate::verdict::{Limits, Verdict, verdict_of_score};

/// What rounding may cost: a text's similarity to itself is not always 1 to a computer.
const ROUNDING: f64 = 1e-9;

/// The evaluation of one revision, as it is kept. It tells the score of this suite and no interval:
/// a floor is a promise about these items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreReport {
    /// Name of the evaluation.
    pub name: String,
    /// How answers were scored.
    pub metric: EvaluationMetric,
    /// Which way is better.
    pub direction: Direction,
    /// Items of the suite.
    pub items: usize,
    /// The revision's score.
    pub score: f64,
    /// What was asked of it; a regression never is.
    pub limits: Limits,
    /// What came of it.
    pub verdict: Verdict,
    /// Each item, the worst score first; equal ones in the suite's order.
    pub rows: Vec<ScoreRow>,
}

/// One item of the report of one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreRow {
    /// The item's id.
    pub id: String,
    /// What was asked, for a reader.
    pub prompt: String,
    /// Good answers.
    pub references: Vec<String>,
    /// How much the item counts.
    pub weight: f64,
    /// The revision's.
    pub answer: Answer,
}

impl ScoreReport {
    /// Holds the score of a revision, whose evidence is of this suite, against `min`.
    #[must_use]
    pub fn new(name: &str, suite: &Suite, side: Side<'_>, min: Option<f64>) -> Self {
        let metric = side.evidence.metric();
        let direction = metrics::properties(metric).direction;
        let score = side.evidence.score();
        let items = suite.items().iter().enumerate();
        let rows = items.map(|(index, item)| ScoreRow {
            id: item.id.clone(),
            prompt: item.prompt.text(),
            references: item.references.clone(),
            weight: item.weight,
            answer: side.answer(index),
        });
        let mut rows: Vec<_> = rows.collect();
        // Where higher is better a lower score is the worse one, and comes first.
        rows.sort_by(|a, b| match direction {
            Direction::HigherIsBetter => a.answer.score.total_cmp(&b.answer.score),
            Direction::LowerIsBetter => b.answer.score.total_cmp(&a.answer.score),
        });
        Self {
            name: name.to_owned(),
            metric,
            direction,
            items: rows.len(),
            score,
            limits: Limits {
                min,
                max_regression: None,
            },
            verdict: verdict_of_score(metric, score, min),
            rows,
        }
    }

    /// As JSON without spaces, which is what [`digest`](Self::digest) is of.
    ///
    /// # Panics
    /// Never: texts, finite numbers and lists of them are JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is JSON")
    }

    /// SHA-256 of the [JSON](Self::json), in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.json())
    }

    /// For a terminal: the result and the worst scores.
    #[must_use]
    pub fn table(&self) -> String {
        table::table_of_one(self)
    }

    /// One page that loads nothing: the result, and the answers with the worst scores.
    #[must_use]
    pub fn html(&self) -> String {
        html::html_of_one(self)
    }

    /// The rows whose score could be better.
    pub(super) fn imperfect(&self) -> impl Iterator<Item = &ScoreRow> {
        let properties = metrics::properties(self.metric);
        let best = match properties.direction {
            Direction::HigherIsBetter => properties.highest,
            Direction::LowerIsBetter => Some(properties.lowest),
        };
        let is_best = move |score: f64| best.is_some_and(|best| (score - best).abs() < ROUNDING);
        let rows = self.rows.iter();
        rows.take_while(move |row| !is_best(row.answer.score))
    }

    /// Names and values of what there is to know before the rows.
    pub(super) fn facts(&self) -> [(&'static str, String); 4] {
        [
            ("metric", metric_text(self.metric)),
            ("items", self.items.to_string()),
            ("score", number(self.score)),
            ("verdict", self.verdict.to_string()),
        ]
    }
}
