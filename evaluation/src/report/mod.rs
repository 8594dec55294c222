//! One evaluation as a whole: for a file, a terminal and a browser.

mod html;
mod number;
mod score;
mod summary;
mod table;
mod text;

use chandler_crds::spec::EvaluationMetric;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bootstrap::Bootstrap;
use crate::compare::{CompareError, Comparison, compare};
use crate::evidence::Evidence;
use crate::metrics::{self, Direction};
use crate::suite::{Item, Suite};
use crate::verdict::{Limits, Verdict, verdict};

pub(crate) use number::number;
pub use score::{ScoreReport, ScoreRow};
pub use summary::Summary;

/// What an evaluation is made from.
#[derive(Clone, Copy, Debug)]
pub struct Evaluated<'a> {
    /// Name of the evaluation in the spec.
    pub name: &'a str,
    /// The questions.
    pub suite: &'a Suite,
    /// The revision that has the traffic.
    pub stable: Side<'a>,
    /// The revision that may get it.
    pub canary: Side<'a>,
    /// What is asked of the canary.
    pub limits: Limits,
    /// How the interval is found.
    pub bootstrap: Bootstrap,
}

/// One revision's part.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its scores.
    pub evidence: &'a Evidence,
    /// Its answers, one for each item. May be left out: the perplexity of references needs none.
    pub answers: &'a [String],
}

/// One evaluation, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the evaluation in the spec.
    pub name: String,
    /// How answers were scored.
    pub metric: EvaluationMetric,
    /// Which way is better.
    pub direction: Direction,
    /// Items of the suite.
    pub items: usize,
    /// The scores of both revisions, and their difference.
    pub comparison: Comparison,
    /// How the interval was found.
    pub bootstrap: Bootstrap,
    /// What was asked of the canary.
    pub limits: Limits,
    /// What came of it.
    pub verdict: Verdict,
    /// Each item, the worst regression first; equal ones in the suite's order.
    pub rows: Vec<Row>,
}

/// One item of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The item's id.
    pub id: String,
    /// What was asked, for a reader.
    pub prompt: String,
    /// Good answers.
    pub references: Vec<String>,
    /// How much the item counts.
    pub weight: f64,
    /// The stable revision's.
    pub stable: Answer,
    /// The canary's.
    pub canary: Answer,
    /// How much worse the canary's score is; negative if it is better.
    pub regression: f64,
}

/// What a revision answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The text; none where the metric needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The item's own score.
    pub score: f64,
}

impl Report {
    /// Compares both revisions and holds the result against the limits.
    ///
    /// # Errors
    /// When the evidence is not of the same items by the same metric.
    pub fn new(evaluated: &Evaluated<'_>) -> Result<Self, CompareError> {
        let Evaluated {
            name,
            suite,
            stable,
            canary,
            limits,
            bootstrap,
        } = *evaluated;
        let comparison = compare(stable.evidence, canary.evidence, bootstrap)?;
        let direction = metrics::properties(comparison.metric).direction;
        let items = suite.items().iter().enumerate();
        let rows = items
            .map(|(index, item)| row(item, direction, stable.answer(index), canary.answer(index)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| b.regression.total_cmp(&a.regression));
        Ok(Self {
            name: name.to_owned(),
            metric: comparison.metric,
            direction,
            items: comparison.items,
            verdict: verdict(&comparison, limits),
            comparison,
            bootstrap,
            limits,
            rows,
        })
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

    /// For a terminal: the result and the worst regressions.
    #[must_use]
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// One page that loads nothing: the result, and the worst regressions side by side.
    #[must_use]
    pub fn html(&self) -> String {
        html::html(self)
    }

    /// The result alone, for a status.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::new(self)
    }

    /// The rows on which the canary scores worse.
    pub(crate) fn regressed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().take_while(|row| row.regression > 0.0)
    }

    /// Names and values of what there is to know before the rows.
    pub(crate) fn facts(&self) -> [(&'static str, String); 7] {
        let Comparison {
            stable,
            canary,
            difference,
            ..
        } = self.comparison;
        [
            ("metric", metric_text(self.metric)),
            ("items", self.items.to_string()),
            ("stable", number(stable)),
            ("canary", number(canary)),
            (
                "difference",
                format!("{}{}", number(difference), self.interval_text()),
            ),
            (
                "worse on",
                format!("{} of {} items", self.regressed().count(), self.items),
            ),
            ("verdict", self.verdict.to_string()),
        ]
    }

    fn interval_text(&self) -> String {
        let Some(interval) = self.comparison.interval else {
            return " (too few items for an interval)".to_owned();
        };
        let Bootstrap {
            seed,
            resamples,
            confidence,
        } = self.bootstrap;
        format!(
            " ({} to {} with {} % confidence, {resamples} resamples, seed {seed})",
            number(interval.low),
            number(interval.high),
            number(confidence * 100.0)
        )
    }
}

/// A metric with what its scores mean.
fn metric_text(metric: EvaluationMetric) -> String {
    let properties = metrics::properties(metric);
    let lowest = number(properties.lowest);
    let range = properties.highest.map_or_else(
        || format!("{lowest} and up"),
        |highest| format!("{lowest} to {}", number(highest)),
    );
    let better = match properties.direction {
        Direction::HigherIsBetter => "higher is better",
        Direction::LowerIsBetter => "lower is better",
    };
    let (name, unit) = (properties.name, properties.unit);
    format!("{name} ({unit}, {range}, {better})")
}

/// SHA-256 of a report's JSON, in hex.
fn digest(json: &str) -> String {
    format!("{:x}", Sha256::digest(json))
}

impl Side<'_> {
    fn answer(&self, index: usize) -> Answer {
        Answer {
            text: self.answers.get(index).cloned(),
            score: self.evidence.item_scores()[index],
        }
    }
}

fn row(item: &Item, direction: Direction, stable: Answer, canary: Answer) -> Row {
    Row {
        id: item.id.clone(),
        prompt: item.prompt.text(),
        references: item.references.clone(),
        weight: item.weight,
        regression: direction.regression(stable.score, canary.score),
        stable,
        canary,
    }
}
