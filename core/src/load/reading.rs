//! What a reading must be to count, and how it stands to the one before.

use super::{Histogram, Reading};

/// Beyond 2^53 a count can't be told from the next one, and nothing has counted that far.
const MOST: f64 = 9_007_199_254_740_992.0;

impl Reading {
    /// Whether each number can be what it stands for. One that can't be says that the others are
    /// not to be believed either.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let bounds = [self.most_running, self.kv_cache];
        let bounds = bounds.map(Option::unwrap_or_default);
        let gauges = [self.running, self.waiting].into_iter().chain(bounds);
        let mut numbers = gauges.chain(self.counters());
        numbers.all(is_amount) && self.histograms().all(Histogram::is_plausible)
    }

    /// Requests that have come and not ended.
    pub(super) fn open(&self) -> f64 {
        self.running + self.waiting
    }

    /// Whether this can be what the process says next that told `earlier`: nothing that counts
    /// counts less.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        let mut counters = self.counters().into_iter().zip(earlier.counters());
        let mut histograms = self.histograms().zip(earlier.histograms());
        counters.all(|(now, before)| now >= before)
            && histograms.all(|(now, before)| now.continues(before))
    }

    fn counters(&self) -> [f64; 3] {
        [self.prompt_tokens, self.generation_tokens, self.ended]
    }

    fn histograms(&self) -> impl Iterator<Item = &Histogram> {
        [&self.ttft, &self.latency, &self.queue_time].into_iter()
    }
}

impl Histogram {
    fn is_plausible(&self) -> bool {
        let pairs = self.buckets.windows(2);
        let mut pairs = pairs.map(|pair| (pair[0], pair[1]));
        is_amount(self.sum)
            && self.buckets.iter().all(|(_, count)| is_amount(*count))
            && pairs.all(|(low, high)| low.0 < high.0 && low.1 <= high.1)
    }

    fn continues(&self, earlier: &Self) -> bool {
        let mut pairs = self.buckets.iter().zip(&earlier.buckets);
        self.buckets.len() == earlier.buckets.len()
            && self.sum >= earlier.sum
            && pairs.all(|(now, before)| now.0 == before.0 && now.1 >= before.1)
    }
}

fn is_amount(value: f64) -> bool {
    (0.0..=MOST).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_that_can_not_be_spoils_a_reading() {
        type Number = fn(&mut Reading) -> &mut f64;
        let numbers: [Number; 7] = [
            |reading| &mut reading.running,
            |reading| reading.most_running.get_or_insert(0.0),
            |reading| reading.kv_cache.get_or_insert(0.0),
            |reading| &mut reading.ended,
            |reading| &mut reading.ttft.sum,
            |reading| &mut reading.latency.buckets[1].1,
            |reading| &mut reading.queue_time.buckets[0].1,
        ];
        let histogram = Histogram {
            buckets: vec![(1.0, 2.0), (f64::INFINITY, 2.0)],
            sum: 1.0,
        };
        let good = Reading {
            ttft: histogram.clone(),
            latency: histogram.clone(),
            queue_time: histogram,
            ..Reading::default()
        };
        assert!(good.is_plausible());
        for number in numbers {
            for absurd in [f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
                let mut reading = good.clone();
                *number(&mut reading) = absurd;
                assert!(!reading.is_plausible(), "{absurd} in {reading:?}");
            }
        }
    }

    #[test]
    fn buckets_rise() {
        for (low, high, is_good) in [
            ((1.0, 2.0), (2.0, 2.0), true),
            ((1.0, 2.0), (2.0, 1.0), false),
            ((1.0, 2.0), (1.0, 2.0), false),
            ((f64::NAN, 2.0), (2.0, 2.0), false),
        ] {
            let histogram = Histogram {
                buckets: vec![low, high],
                sum: 0.0,
            };
            assert_eq!(histogram.is_plausible(), is_good, "{low:?} {high:?}");
        }
    }
}
