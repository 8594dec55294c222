//! The exact GELU, fast on processors.
//!
//! candle asks the mathematical library for one error function after the other, which takes a quarter of a small
//! encoder's time. A quotient of polynomials has no branches, and differs by less than rounding does.

use pulp::Simd;

/// Beyond it the error function is 1 to the last bit.
const LIMIT: f32 = 3.95;

// erf(z) = z * P(z²) / Q(z²) for |z| up to LIMIT, to 2e-9, highest power first; fitted to the
// function's own values by least squares, reweighted until the error was level.
const P: [f32; 7] = [
    -1.347_717_2e-8,
    4.744_443e-6,
    3.813_576_4e-4,
    3.835_567_5e-3,
    0.054_301_86,
    0.184_709_18,
    std::f32::consts::FRAC_2_SQRT_PI,
];
const Q: [f32; 6] = [
    6.366_934e-5,
    1.306_991_6e-3,
    1.544_084_7e-2,
    0.113_798_77,
    0.497_027_8,
    1.0,
];

/// `x` times the normal distribution's share below `x`; nothing for what is no number.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |x| simd.splat_f32s(x);
    let z = simd.mul_f32s(x, splat(std::f32::consts::FRAC_1_SQRT_2));
    let z = simd.min_f32s(simd.max_f32s(z, splat(-LIMIT)), splat(LIMIT));
    let square = simd.mul_f32s(z, z);
    let polynomial = |terms: &[f32]| {
        let mut sum = splat(terms[0]);
        for term in &terms[1..] {
            sum = simd.mul_add_f32s(sum, square, splat(*term));
        }
        sum
    };
    let erf = simd.div_f32s(simd.mul_f32s(z, polynomial(&P)), polynomial(&Q));
    let half = simd.mul_f32s(splat(0.5), x);
    simd.mul_add_f32s(half, erf, half)
}
