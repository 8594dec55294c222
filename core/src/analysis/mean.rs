//! The mean of numbers that are known by their logarithms, and may be too large or too small to be
//! written otherwise.

/// The mean so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogMean {
    largest: f64,
    /// Of all numbers, over the largest.
    sum: f64,
    count: f64,
}

impl FromIterator<f64> for LogMean {
    fn from_iter<T: IntoIterator<Item = f64>>(logarithms: T) -> Self {
        let mut mean = Self {
            largest: f64::NEG_INFINITY,
            sum: 0.0,
            count: 0.0,
        };
        for logarithm in logarithms {
            mean.add(logarithm);
        }
        mean
    }
}

impl LogMean {
    fn add(&mut self, logarithm: f64) {
        self.count += 1.0;
        if logarithm > self.largest {
            self.sum = self.sum * (self.largest - logarithm).exp() + 1.0;
            self.largest = logarithm;
        } else {
            self.sum += (logarithm - self.largest).exp();
        }
    }

    /// Its logarithm.
    pub(super) fn value(self) -> f64 {
        self.largest + (self.sum / self.count).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_whatever_its_order_and_size() {
        for numbers in [vec![1.0, 2.0, 3.0], vec![3.0, 2.0, 1.0], vec![2.0]] {
            for shift in [0.0, 900.0, -900.0] {
                let logs = numbers.iter().map(|it: &f64| it.ln() + shift);
                let mean = logs.collect::<LogMean>().value();
                assert!((mean - 2.0_f64.ln() - shift).abs() < 1e-9, "{numbers:?}");
            }
        }
    }
}
