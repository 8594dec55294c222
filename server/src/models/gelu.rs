//! The exact GELU, fast on processors.
//!
//! candle asks the mathematical library for one error function after the other, which takes a
//! quarter of a small encoder's time. A quotient of polynomials has no branches, so that the
//! compiler computes several at once, and differs by less than rounding does.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Values that one thread computes at a time.
const CHUNK: usize = 16 * 1024;

/// Beyond it the error function is 1 to the last bit.
const LIMIT: f32 = 3.95;

// erf(z) = z * P(z²) / Q(z²) for |z| up to LIMIT, to 2e-9, lowest power first; fitted to the
// function's own values by least squares, reweighted until the error was level.
const P: [f32; 7] = [
    std::f32::consts::FRAC_2_SQRT_PI,
    0.184_709_18,
    0.054_301_86,
    3.835_567_5e-3,
    3.813_576_4e-4,
    4.744_443e-6,
    -1.347_717_2e-8,
];
const Q: [f32; 6] = [
    1.0,
    0.497_027_8,
    0.113_798_77,
    1.544_084_7e-2,
    1.306_991_6e-3,
    6.366_934e-5,
];

/// `x` times the normal distribution's share below `x`.
///
/// # Errors
/// What candle reports.
pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.apply_op1_no_bwd(&Gelu)
    } else {
        x.gelu_erf()
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let CpuStorage::F32(values) = storage else {
            bail!("gelu takes f32");
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("gelu takes contiguous tensors");
        };
        let mut output = vec![0f32; end - start];
        output
            .par_chunks_mut(CHUNK)
            .zip(values[start..end].par_chunks(CHUNK))
            .for_each(|(output, input)| {
                for (y, &x) in output.iter_mut().zip(input) {
                    *y = one(x);
                }
            });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}

#[inline]
fn one(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).clamp(-LIMIT, LIMIT);
    let square = z * z;
    let polynomial = |c: &[f32]| c.iter().rev().fold(0f32, |sum, c| sum * square + c);
    0.5 * x * (1.0 + z * polynomial(&P) / polynomial(&Q))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn it_equals_the_one_by_the_mathematical_library() {
        let values: Vec<f32> = (-60_000..60_000).map(|i| i as f32 / 5000.0).collect();
        let x = Tensor::new(values.as_slice(), &Device::Cpu).expect("a tensor");
        let ours: Vec<f32> = gelu(&x).expect("gelu").to_vec1().expect("floats");
        let reference = x.gelu_erf().expect("gelu").to_vec1().expect("floats");
        for ((x, a), b) in values.iter().zip(ours).zip::<Vec<f32>>(reference) {
            assert!((a - b).abs() < 1e-6 * x.abs().max(1.0), "{x}: {a}, not {b}");
        }
    }

    #[test]
    fn numbers_that_are_none_stay_none_and_a_part_is_computed_alone() {
        let x = Tensor::new(&[f32::NAN, f32::INFINITY, 1.0, 0.0], &Device::Cpu).expect("a tensor");
        let all: Vec<f32> = gelu(&x).expect("gelu").to_vec1().expect("floats");
        assert!(all[0].is_nan() && all[1].is_infinite());
        let part = x.narrow(0, 2, 2).expect("a part");
        let part: Vec<f32> = gelu(&part).expect("gelu").to_vec1().expect("floats");
        assert_eq!(part, all[2..]);
    }
}
