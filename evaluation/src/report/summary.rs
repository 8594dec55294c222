//! What of an evaluation goes into a status.

use std::fmt;

use chandler_crds::spec::EvaluationMetric;
use serde::{Deserialize, Serialize};

use super::number::rounded;
use super::{Report, number};
use crate::metrics;
use crate::verdict::Outcome;

/// Hex digits of a digest that tell reports of one model apart.
const DIGEST: usize = 12;

/// The result of an evaluation without its texts, with numbers of five digits. It is about 150 bytes
/// of JSON: twenty with names of up to 24 characters fit into a termination message of 4096 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Name of the evaluation in the spec.
    pub name: String,
    /// How answers were scored.
    pub metric: EvaluationMetric,
    /// Items of the suite.
    pub items: usize,
    /// The stable revision's score.
    pub stable: f64,
    /// The canary's score.
    pub canary: f64,
    /// Lower end of the interval of their difference; none where there are too few items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What came of it.
    pub outcome: Outcome,
    /// The first 12 digits of the report's digest.
    pub digest: String,
}

impl Summary {
    pub(super) fn new(report: &Report) -> Self {
        let comparison = &report.comparison;
        let mut digest = report.digest();
        digest.truncate(DIGEST);
        Self {
            name: report.name.clone(),
            metric: report.metric,
            items: report.items,
            stable: rounded(comparison.stable),
            canary: rounded(comparison.canary),
            low: comparison.interval.map(|interval| rounded(interval.low)),
            high: comparison.interval.map(|interval| rounded(interval.high)),
            outcome: report.verdict.outcome,
            digest,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            items,
            outcome,
            ..
        } = self;
        let metric = metrics::properties(self.metric).name;
        let (stable, canary) = (number(self.stable), number(self.canary));
        write!(
            f,
            "{name}: {outcome}, {metric} {canary} beside {stable} on {items} items"
        )?;
        if let (Some(low), Some(high)) = (self.low, self.high) {
            write!(f, ", difference {} to {}", number(low), number(high))?;
        }
        Ok(())
    }
}
