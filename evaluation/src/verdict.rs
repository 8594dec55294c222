//! Whether a canary's answers are worth enough.

use std::fmt;

use chandler_crds::spec::{Evaluation, EvaluationMetric};
use serde::{Deserialize, Serialize};

use crate::compare::Comparison;
use crate::metrics::{self, Direction};

/// A share of a limit that rounding may cost: 0.8 − 0.75 is more than 0.05 to a computer.
const ROUNDING: f64 = 1e-9;

/// What is asked of a canary's score, in the unit of the metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The worst score that passes: the lowest one where higher is better, and the highest one where
    /// lower is better, as for perplexity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// How much worse than the stable revision's the score may be, whichever way is worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_regression: Option<f64>,
}

impl From<&Evaluation> for Limits {
    fn from(spec: &Evaluation) -> Self {
        Self {
            min: spec.min,
            max_regression: spec.max_regression,
        }
    }
}

/// What comes of an evaluation, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The worst that any limit gives.
    pub outcome: Outcome,
    /// One for each limit, or [`Reason::NothingAsked`] alone.
    pub reasons: Vec<Reason>,
}

/// From the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The canary meets all limits.
    Pass,
    /// The suite is too small to tell.
    Inconclusive,
    /// The canary breaks a limit.
    Fail,
}

/// What one limit says, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "reason",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Reason {
    /// There is no limit.
    NothingAsked,
    /// The score is `min` or better.
    MeetsMin {
        /// The canary's.
        score: f64,
        /// The limit.
        min: f64,
    },
    /// The score is worse than `min`: below it, or above it where lower is better.
    MissesMin {
        /// The canary's.
        score: f64,
        /// The limit.
        min: f64,
    },
    /// The score is not worse by more than is allowed.
    WithinRegression {
        /// How much worse the canary's score is; negative if it is better.
        regression: f64,
        /// The limit.
        max: f64,
    },
    /// The whole interval lies above what is allowed.
    Regressed {
        /// How much worse the canary's score is.
        regression: f64,
        /// Lower end of the interval.
        low: f64,
        /// The limit.
        max: f64,
    },
    /// The score is worse by more than is allowed, but the interval reaches down to what is.
    Unsure {
        /// How much worse the canary's score is.
        regression: f64,
        /// Lower end of the interval.
        low: f64,
        /// Upper end of the interval.
        high: f64,
        /// The limit.
        max: f64,
    },
    /// One item says nothing about others.
    TooFewItems {
        /// Items of the suite.
        items: usize,
        /// How much worse the canary's score is.
        regression: f64,
        /// The limit.
        max: f64,
    },
}

/// Holds a comparison against limits.
///
/// - `min` is held against the canary's score itself: it is a promise about this suite.
/// - `max_regression` is held against the interval. The canary fails if all of it is above the
///   limit, and passes if the score itself is within. In between the suite is too small to tell, and
///   so is one of a single item, whatever its scores.
#[must_use]
pub fn verdict(comparison: &Comparison, limits: Limits) -> Verdict {
    let direction = metrics::properties(comparison.metric).direction;
    let min = limits
        .min
        .map(|min| floor(comparison.canary, min, direction));
    let max = limits.max_regression.map(|max| slope(comparison, max));
    worst_of(min.into_iter().chain(max))
}

/// Holds the score of one revision against `min` alone, with no other revision beside it.
#[must_use]
pub fn verdict_of_score(metric: EvaluationMetric, score: f64, min: Option<f64>) -> Verdict {
    let direction = metrics::properties(metric).direction;
    worst_of(min.map(|min| floor(score, min, direction)).into_iter())
}

fn worst_of(held: impl Iterator<Item = (Outcome, Reason)>) -> Verdict {
    let (outcomes, mut reasons): (Vec<_>, Vec<_>) = held.unzip();
    if reasons.is_empty() {
        reasons.push(Reason::NothingAsked);
    }
    Verdict {
        outcome: outcomes.into_iter().max().unwrap_or(Outcome::Pass),
        reasons,
    }
}

fn floor(score: f64, min: f64, direction: Direction) -> (Outcome, Reason) {
    let meets = match direction {
        Direction::HigherIsBetter => is_at_most(min, score),
        Direction::LowerIsBetter => is_at_most(score, min),
    };
    if meets {
        (Outcome::Pass, Reason::MeetsMin { score, min })
    } else {
        (Outcome::Fail, Reason::MissesMin { score, min })
    }
}

fn slope(comparison: &Comparison, max: f64) -> (Outcome, Reason) {
    let regression = comparison.regression();
    let Some(interval) = comparison.regression_interval() else {
        let reason = Reason::TooFewItems {
            items: comparison.items,
            regression,
            max,
        };
        return (Outcome::Inconclusive, reason);
    };
    let (low, high) = (interval.low, interval.high);
    if !is_at_most(low, max) {
        let reason = Reason::Regressed {
            regression,
            low,
            max,
        };
        (Outcome::Fail, reason)
    } else if is_at_most(regression, max) {
        (Outcome::Pass, Reason::WithinRegression { regression, max })
    } else {
        let reason = Reason::Unsure {
            regression,
            low,
            high,
            max,
        };
        (Outcome::Inconclusive, reason)
    }
}

/// Whether `value` is no greater than `limit`, but for rounding. Nothing is at most what is no number.
fn is_at_most(value: f64, limit: f64) -> bool {
    value <= limit + ROUNDING * limit.abs().max(1.0)
}

impl Outcome {
    /// The form on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<_> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", self.outcome, reasons.join("; "))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::report::number as n;
        match *self {
            Self::NothingAsked => f.write_str("neither min nor maxRegression is set"),
            Self::MeetsMin { score, min } => write!(f, "{} meets min {}", n(score), n(min)),
            Self::MissesMin { score, min } => {
                write!(f, "{} is worse than min {}", n(score), n(min))
            }
            Self::WithinRegression { regression, max } => write!(
                f,
                "a regression of {} is within maxRegression {}",
                n(regression),
                n(max)
            ),
            Self::Regressed {
                regression,
                low,
                max,
            } => write!(
                f,
                "a regression of {}, surely {} at least, is over maxRegression {}",
                n(regression),
                n(low),
                n(max)
            ),
            Self::Unsure {
                regression,
                low,
                high,
                max,
            } => unsure(f, [regression, low, high, max].map(n)),
            Self::TooFewItems { items, .. } => write!(
                f,
                "{items} item is too few to tell a regression from chance: write 2 at least"
            ),
        }
    }
}

fn unsure(f: &mut fmt::Formatter<'_>, [regression, low, high, max]: [String; 4]) -> fmt::Result {
    write!(
        f,
        "a regression of {regression} is over maxRegression {max}, but it may be anything from \
         {low} to {high}: a suite with more items would tell"
    )
}
