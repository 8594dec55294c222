//! Normalisations of the last dimension.
//!
//! candle takes several passes, and another pool of threads for what is added beforehand.

use candle_core::{D, Result, Tensor, bail};
use candle_nn::ops::{layer_norm, rms_norm};
use chandler_kernels::{by_mean_square, by_variance};

use super::rows;

/// By mean and variance where it has a bias, else by the root of the mean square.
pub(crate) struct Norm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) eps: f32,
}

impl Norm {
    /// Of the rows of `x`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.by_candle(x);
        }
        let x = x.contiguous()?;
        rows::read([&x], |[numbers]| {
            self.make(&x, |at, row| {
                row.copy_from_slice(&numbers[at..][..row.len()]);
            })
        })
    }

    /// Of the rows of `x + added`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn of_sum(&self, x: &Tensor, added: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.by_candle(&(x + added)?);
        }
        if x.shape() != added.shape() {
            bail!("{:?} is added to {:?}", added.shape(), x.shape());
        }
        let (x, added) = (x.contiguous()?, added.contiguous()?);
        rows::read([&x, &added], |[numbers, added]| {
            self.make(&x, |at, row| rows::add(&numbers[at..], &added[at..], row))
        })
    }

    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => layer_norm(x, &self.weight, bias, self.eps),
            None => rms_norm(x, &self.weight, self.eps),
        }
    }

    /// Rows that `fill` makes, which is told the place of a row's first number, normalised.
    fn make(&self, like: &Tensor, fill: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
        let width = like.dim(D::Minus1)?;
        if self.weight.elem_count() != width {
            bail!("{} weights for rows of {width}", self.weight.elem_count());
        }
        let make = |normalise: &(dyn Fn(&mut [f32]) + Sync)| {
            rows::make(like, width, |at, row| {
                fill(at * width, row);
                normalise(row);
            })
        };
        match &self.bias {
            None => rows::read([&self.weight], |[weight]| {
                make(&|row| by_mean_square(row, weight, self.eps))
            }),
            Some(bias) => rows::read([&self.weight, bias], |[weight, bias]| {
                make(&|row| by_variance(row, weight, bias, self.eps))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn compare(norm: &Norm) {
        let numbers = |count: usize, step: f32| -> Vec<f32> {
            (0..count)
                .map(|at| (at as f32 * step).sin() * 3.0)
                .collect()
        };
        let width = norm.weight.elem_count();
        let tensor = |step| Tensor::from_vec(numbers(7 * width, step), (7, width), &Device::Cpu);
        let (x, added) = (tensor(0.37).expect("x"), tensor(0.73).expect("added"));
        let sum = (&x + &added).expect("a sum");
        for (ours, theirs) in [
            (norm.forward(&x), norm.by_candle(&x)),
            (norm.of_sum(&x, &added), norm.by_candle(&sum)),
        ] {
            let (ours, theirs) = (ours.expect("ours"), theirs.expect("candle's"));
            assert_eq!(ours.shape(), theirs.shape());
            let (ours, theirs) = (ours.flatten_all(), theirs.flatten_all());
            let ours: Vec<f32> = ours.and_then(|it| it.to_vec1()).expect("numbers");
            let theirs: Vec<f32> = theirs.and_then(|it| it.to_vec1()).expect("numbers");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() < 1e-5, "{ours}, not {theirs}");
            }
        }
    }

    #[test]
    fn it_is_that_of_candle() {
        for width in [1, 16, 37, 576] {
            let numbers = |first: f32| Tensor::arange(first, first + width as f32, &Device::Cpu);
            let scaled = |first| (numbers(first).expect("numbers") * 0.01).expect("numbers");
            for bias in [None, Some(scaled(-5.0))] {
                compare(&Norm {
                    weight: scaled(3.0),
                    bias,
                    eps: 1e-5,
                });
            }
        }
    }

    #[test]
    fn weights_of_another_length_are_refused() {
        let norm = Norm {
            weight: Tensor::ones(3, candle_core::DType::F32, &Device::Cpu).expect("weights"),
            bias: None,
            eps: 0.0,
        };
        let x = Tensor::ones((2, 4), candle_core::DType::F32, &Device::Cpu).expect("x");
        assert!(norm.forward(&x).is_err());
    }
}
