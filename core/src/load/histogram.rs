use std::time::Duration;

/// A histogram as Prometheus counts: cumulative, of values up to each bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound and count of values up to it, by bound; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// What was added since `earlier` was told by the same process. One that counts less than
    /// before began anew, and all it tells was added.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let comparable = self.buckets.len() == earlier.buckets.len()
            && self.count() >= earlier.count()
            && self.sum >= earlier.sum;
        if !comparable {
            return self.clone();
        }
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs
                .map(|((bound, now), (_, before))| (*bound, (now - before).max(0.0)))
                .collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// Adds another's values to these. Of two with other bounds the one with more values stays.
    pub fn add(&mut self, other: &Self) {
        let same = self.buckets.len() == other.buckets.len();
        if self.buckets.is_empty() || (!same && other.count() > self.count()) {
            *self = other.clone();
        } else if same {
            for ((_, count), (_, more)) in self.buckets.iter_mut().zip(&other.buckets) {
                *count += more;
            }
            self.sum += other.sum;
        }
    }

    /// A share of these values.
    pub(super) fn times(mut self, share: f64) -> Self {
        for (_, count) in &mut self.buckets {
            *count *= share;
        }
        self.sum *= share;
        self
    }

    /// The value, in seconds, below which `share` of all values lie, as PromQL's
    /// `histogram_quantile` finds it: linear within its bucket, the last finite bound if it lies
    /// above that. `None` if there is no value.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = share * self.count();
        if rank <= 0.0 {
            return None;
        }
        let at = self.buckets.iter().position(|(_, count)| *count >= rank)?;
        let (below, before) = match at {
            0 => (0.0, 0.0),
            at => self.buckets[at - 1],
        };
        let (bound, count) = self.buckets[at];
        let value = if bound.is_finite() {
            below + (bound - below) * (rank - before) / (count - before)
        } else {
            below
        };
        Duration::try_from_secs_f64(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: [f64; 3], sum: f64) -> Histogram {
        Histogram {
            buckets: [0.5, 1.0, f64::INFINITY].into_iter().zip(counts).collect(),
            sum,
        }
    }

    #[test]
    fn quantiles_are_those_of_promql() {
        for (counts, share, seconds) in [
            ([10.0, 20.0, 20.0], 0.75, Some(0.75)),
            ([10.0, 20.0, 20.0], 0.25, Some(0.25)),
            ([10.0, 20.0, 40.0], 0.95, Some(1.0)),
            ([0.0, 0.0, 0.0], 0.95, None),
        ] {
            let value = of(counts, 0.0).quantile(share);
            assert_eq!(value, seconds.map(Duration::from_secs_f64), "{counts:?}");
        }
        assert_eq!(Histogram::default().quantile(0.95), None);
    }

    #[test]
    fn a_process_that_began_anew_has_added_all_it_tells() {
        let before = of([5.0, 6.0, 7.0], 3.0);
        let later = of([6.0, 8.0, 10.0], 5.0);
        assert_eq!(later.since(&before), of([1.0, 2.0, 3.0], 2.0));
        let anew = of([1.0, 1.0, 1.0], 0.2);
        assert_eq!(anew.since(&before), anew);
        assert_eq!(later.since(&Histogram::default()), later);
    }

    #[test]
    fn replicas_are_added_bucket_by_bucket() {
        let mut sum = Histogram::default();
        sum.add(&of([1.0, 2.0, 3.0], 2.0));
        sum.add(&of([1.0, 1.0, 1.0], 0.5));
        assert_eq!(sum, of([2.0, 3.0, 4.0], 2.5));
        let odd = Histogram {
            buckets: vec![(f64::INFINITY, 1.0)],
            sum: 9.0,
        };
        sum.add(&odd);
        assert_eq!(sum.count(), 4.0, "other bounds can't be added");
    }
}
