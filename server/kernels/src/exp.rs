//! The exponential function of several numbers at once.

use pulp::Simd;

/// Beneath it the result would be no normal number; beneath its negative it would be infinite.
const LEAST: f32 = -87.0;
/// ln 2 in two parts, the first with so few bits that its multiples are exact (W. Cody and W. Waite, *Software Manual
/// for the Elementary Functions*, 1980).
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Added to a number, it leaves the nearest whole one in the lowest bits: 1.5 · 2²³.
const ROUND: f32 = 12_582_912.0;
/// Terms of the Taylor series from x⁷ / 7! down to 1, enough for |x| ≤ ln 2 / 2.
const TERMS: [f32; 8] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// eˣ for each lane, to about one unit in the last place. What is beneath [`LEAST`] or above its negative is taken as
/// that.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |x| simd.splat_f32s(x);
    let x = simd.min_f32s(simd.max_f32s(x, splat(LEAST)), splat(-LEAST));
    let rounded = simd.mul_add_f32s(x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let power = simd.sub_f32s(rounded, splat(ROUND));
    let rest = simd.mul_add_f32s(power, splat(-LN2[0]), x);
    let rest = simd.mul_add_f32s(power, splat(-LN2[1]), rest);
    let mut sum = splat(TERMS[0]);
    for term in &TERMS[1..] {
        sum = simd.mul_add_f32s(sum, rest, splat(*term));
    }
    // 2^power is added to the exponent.
    let bits = simd.transmute_u32s_f32s(rounded);
    let exponent = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(sum), exponent))
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    struct All<'a>(&'a mut [f32]);

    impl WithSimd for All<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (numbers, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty());
            for x in numbers {
                *x = exp(simd, *x);
            }
        }
    }

    #[test]
    fn it_is_that_of_the_standard_library() {
        let numbers: Vec<f32> = (-8700..=8700).map(|x| x as f32 / 100.0).collect();
        let mut found = numbers.clone();
        found.resize(numbers.len().next_multiple_of(64), 0.0);
        Arch::new().dispatch(All(&mut found));
        for (x, found) in numbers.iter().zip(&found) {
            let expected = f64::from(*x).exp();
            let error = (f64::from(*found) - expected).abs() / expected;
            assert!(error < 2e-7, "exp({x}) is {found}, not {expected}");
        }
    }

    #[test]
    fn what_is_out_of_reach_ends_at_the_bounds() {
        let mut found = vec![f32::NEG_INFINITY; 64];
        found[1] = f32::INFINITY;
        Arch::new().dispatch(All(&mut found));
        assert!(found[0] > 0.0 && found[0] < 2e-38, "{}", found[0]);
        assert!(found[1].is_finite() && found[1] > 1e37, "{}", found[1]);
    }
}
