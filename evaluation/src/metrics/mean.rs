//! The weighted mean, which is the suite's score for all metrics that score items one by one.
//!
//! Statistics: the weighted sum of scores, and the sum of weights.

pub(crate) fn statistics(score: f64, weight: f64) -> Vec<f64> {
    vec![score * weight, weight]
}

/// 0 where nothing was weighed, such as in suites all of whose answers have no positions.
pub(crate) fn score(sum: &[f64]) -> f64 {
    if sum[1] > 0.0 { sum[0] / sum[1] } else { 0.0 }
}
