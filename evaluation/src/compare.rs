//! Two revisions on the same items.

use chandler_crds::spec::EvaluationMetric;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, LEAST_RESAMPLES};
use crate::evidence::Evidence;
use crate::metrics;

pub use crate::bootstrap::Interval;

/// The scores of two revisions and how sure their difference is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// How answers were scored.
    pub metric: EvaluationMetric,
    /// Items of the suite.
    pub items: usize,
    /// The stable revision's score.
    pub stable: f64,
    /// The canary's score.
    pub canary: f64,
    /// The canary's less the stable revision's.
    pub difference: f64,
    /// Where the true difference lies; none where there are fewer than two items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// Why two revisions cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// Scores of different metrics.
    #[error("the stable revision was scored by {stable} and the canary by {canary}")]
    Metrics {
        /// Name of the stable revision's.
        stable: &'static str,
        /// Name of the canary's.
        canary: &'static str,
    },
    /// Different numbers of items.
    #[error("the stable revision has scores of {stable} items and the canary of {canary}")]
    Counts {
        /// The stable revision's.
        stable: usize,
        /// The canary's.
        canary: usize,
    },
    /// Different items.
    #[error("the stable revision's item `{stable}` is the canary's `{canary}`")]
    Items {
        /// Id of the first that differs.
        stable: String,
        /// What the canary has in its place.
        canary: String,
    },
    /// Too few resamples for any interval.
    #[error("{resamples} resamples are too few: use {LEAST_RESAMPLES} at least")]
    Resamples {
        /// As given.
        resamples: usize,
    },
    /// No interval of this confidence can be told from so many resamples.
    #[error(
        "a confidence of {confidence} cannot be told from {resamples} resamples: it lies between \
         0 and 1, and half of what is outside the interval must be one resample at least"
    )]
    Confidence {
        /// As given.
        confidence: f64,
        /// As given.
        resamples: usize,
    },
}

impl Comparison {
    /// How much worse the canary is, in the unit of the score; negative if it is better.
    #[must_use]
    pub fn regression(&self) -> f64 {
        let direction = metrics::properties(self.metric).direction;
        direction.regression(self.stable, self.canary)
    }

    /// Where the true regression lies.
    #[must_use]
    pub fn regression_interval(&self) -> Option<Interval> {
        let Interval { low, high } = self.interval?;
        Some(match metrics::properties(self.metric).direction {
            metrics::Direction::LowerIsBetter => Interval { low, high },
            metrics::Direction::HigherIsBetter => Interval {
                low: -high,
                high: -low,
            },
        })
    }
}

/// Compares the evidence of two revisions.
///
/// # Errors
/// When it is not of the same items by the same metric, or the interval cannot be told.
pub fn compare(
    stable: &Evidence,
    canary: &Evidence,
    bootstrap: Bootstrap,
) -> Result<Comparison, CompareError> {
    check(stable, canary)?;
    let scores = (stable.score(), canary.score());
    Ok(Comparison {
        metric: stable.metric(),
        items: stable.ids().len(),
        stable: scores.0,
        canary: scores.1,
        difference: scores.1 - scores.0,
        interval: bootstrap.interval(stable, canary)?,
    })
}

fn check(stable: &Evidence, canary: &Evidence) -> Result<(), CompareError> {
    if stable.metric() != canary.metric() {
        let name = |evidence: &Evidence| metrics::properties(evidence.metric()).name;
        return Err(CompareError::Metrics {
            stable: name(stable),
            canary: name(canary),
        });
    }
    let (of_stable, of_canary) = (stable.ids(), canary.ids());
    if of_stable.len() != of_canary.len() {
        return Err(CompareError::Counts {
            stable: of_stable.len(),
            canary: of_canary.len(),
        });
    }
    let mut pairs = of_stable.iter().zip(of_canary);
    match pairs.find(|(stable, canary)| stable != canary) {
        Some((stable, canary)) => Err(CompareError::Items {
            stable: stable.clone(),
            canary: canary.clone(),
        }),
        None => Ok(()),
    }
}
