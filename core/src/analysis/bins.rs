//! How often a length of time was seen, by its order of magnitude: the exponential histogram of
//! OpenTelemetry and of Prometheus' native histograms, schema 5.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Buckets to a doubling, which makes each 2.2 % wide.
const BUCKETS: f64 = 32.0;
/// The first and last bucket: about a microsecond, and twelve days.
const ENDS: (i16, i16) = (-640, 640);

/// Counts of lengths of time. Bucket `i` has those in `(2^((i-1)/32), 2^(i/32)]` seconds; what is
/// outside of all of them is in the first or the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bins(BTreeMap<i16, u64>);

impl Bins {
    /// Counts one more.
    pub fn note(&mut self, seconds: f64) {
        let count = self.0.entry(bucket(seconds)).or_default();
        *count = count.saturating_add(1);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().copied().fold(0, u64::saturating_add)
    }

    /// How many are in a bucket above this one.
    #[must_use]
    pub fn above(&self, bucket: i16) -> u64 {
        let above = self.0.range(bucket.saturating_add(1)..);
        above.map(|(_, count)| *count).fold(0, u64::saturating_add)
    }

    /// The bucket just below that of the quantile `1 - share`, above which there are more than `share`
    /// of all. `None` if there are none.
    #[must_use]
    pub fn below(&self, share: f64) -> Option<i16> {
        let (mut above, enough) = (0, share * self.count() as f64);
        for (bucket, count) in self.0.iter().rev() {
            above += count;
            if above as f64 > enough {
                return Some(bucket - 1);
            }
        }
        None
    }

    /// The quantile, in seconds, to within a bucket; `None` if there are no values.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let below = self.below(1.0 - quantile)?;
        Some(2.0_f64.powf((f64::from(below) + 0.5) / BUCKETS))
    }

    /// What was added since `earlier`, which these have grown from.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let added = self.0.iter().map(|(bucket, count)| {
            let before = earlier.0.get(bucket).copied().unwrap_or(0);
            (*bucket, count.saturating_sub(before))
        });
        Self(added.filter(|(_, count)| *count > 0).collect())
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in &other.0 {
            let count = self.0.entry(*bucket).or_default();
            *count = count.saturating_add(*more);
        }
    }
}

/// The bucket of a length of time.
fn bucket(seconds: f64) -> i16 {
    let position = (seconds.log2() * BUCKETS).ceil();
    if position.is_nan() {
        return ENDS.0;
    }
    position.clamp(f64::from(ENDS.0), f64::from(ENDS.1)) as i16
}

/// How many buckets apart two lengths of time are of which one is `ratio` times the other: the
/// nearest whole numbers, below and above.
pub(super) fn apart(ratio: f64) -> (i16, i16) {
    let exact = ratio.log2() * BUCKETS;
    let whole = |position: f64| position.clamp(-1e4, 1e4) as i16;
    (whole(exact.floor()), whole(exact.ceil()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(seconds: &[f64]) -> Bins {
        let mut bins = Bins::default();
        seconds.iter().for_each(|one| bins.note(*one));
        bins
    }

    #[test]
    fn a_value_on_a_bound_is_in_the_bucket_that_ends_there() {
        for (seconds, wanted) in [
            (1.0, 0),
            (1.0001, 1),
            (2.0, 32),
            (0.5, -32),
            (0.0, -640),
            (-1.0, -640),
            (f64::NAN, -640),
            (f64::INFINITY, 640),
        ] {
            assert_eq!(bucket(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn quantiles_are_right_to_within_a_bucket() {
        let values: Vec<f64> = (1..=1000).map(|it| f64::from(it) / 100.0).collect();
        let bins = of(&values);
        for (quantile, value) in [(0.5, 5.0), (0.95, 9.5), (0.2, 2.0)] {
            let found = bins.quantile(quantile).unwrap();
            assert!((found / value).ln().abs() < 0.022, "{quantile}: {found}");
        }
        assert_eq!(Bins::default().quantile(0.95), None);
    }

    #[test]
    fn more_than_the_share_is_above() {
        let bins = of(&[1.0; 100]);
        assert_eq!(bins.below(0.05), Some(-1), "all are in one bucket");
        assert_eq!((bins.above(-1), bins.above(0)), (100, 0));
        let mixed = of(&[[1.0; 95].as_slice(), &[2.0; 5]].concat());
        assert_eq!(mixed.below(0.05), Some(-1), "no more than the share");
        assert_eq!(mixed.below(0.04), Some(31));
    }

    #[test]
    fn what_was_added_adds_up() {
        let (before, added) = (of(&[0.1, 0.2]), of(&[0.2, 7.0, 7.0]));
        let mut both = before.clone();
        both.add(&added);
        assert_eq!(both.count(), 5);
        assert_eq!(both.since(&before), added);
        assert_eq!(before.since(&both), Bins::default());
    }

    #[test]
    fn ratios_are_buckets() {
        assert_eq!(apart(2.0), (32, 32));
        assert_eq!(apart(1.2), (8, 9));
        assert_eq!(apart(0.5), (-32, -32));
    }
}
