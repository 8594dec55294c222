//! The functions between the two layers of a feed-forward block.

use pulp::{Arch, Simd, WithSimd};

use crate::exp::exp;
use crate::gelu::gelu;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The exact one, by the error function.
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    /// What is negative becomes zero.
    Relu,
    /// `x` times its logistic function.
    Silu,
}

impl Activation {
    /// Of every value, in place. What becomes of one depends on it alone.
    pub fn apply(self, values: &mut [f32]) {
        Arch::new().dispatch(Apply {
            activation: self,
            values,
        });
    }

    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let splat = |x| simd.splat_f32s(x);
        match self {
            Self::Gelu => gelu(simd, x),
            // Half of 1 + tanh(u) is 1 / (1 + e^(-2u)).
            Self::GeluTanh => {
                let square = simd.mul_f32s(x, x);
                let cubic = simd.mul_add_f32s(square, splat(0.044_715), splat(1.0));
                let u = simd.mul_f32s(simd.mul_f32s(x, cubic), splat(SQRT_2_OVER_PI));
                sigmoid_times(simd, x, simd.mul_f32s(splat(-2.0), u))
            }
            Self::Relu => simd.max_f32s(splat(0.0), x),
            Self::Silu => sigmoid_times(simd, x, simd.neg_f32s(x)),
        }
    }
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// `x / (1 + e^power)`.
#[inline(always)]
fn sigmoid_times<S: Simd>(simd: S, x: S::f32s, power: S::f32s) -> S::f32s {
    let below = simd.add_f32s(simd.splat_f32s(1.0), exp(simd, power));
    simd.div_f32s(x, below)
}

struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vectors, rest) = S::as_mut_simd_f32s(self.values);
        // Each its own loop, so that none asks within which it is.
        match self.activation {
            Activation::Gelu => apply(simd, Activation::Gelu, vectors, rest),
            Activation::GeluTanh => apply(simd, Activation::GeluTanh, vectors, rest),
            Activation::Relu => apply(simd, Activation::Relu, vectors, rest),
            Activation::Silu => apply(simd, Activation::Silu, vectors, rest),
        }
    }
}

#[inline(always)]
fn apply<S: Simd>(simd: S, activation: Activation, vectors: &mut [S::f32s], rest: &mut [f32]) {
    for x in vectors {
        *x = activation.of(simd, *x);
    }
    let x = simd.partial_load_f32s(rest);
    simd.partial_store_f32s(rest, activation.of(simd, x));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 4] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Silu,
    ];

    #[test]
    fn a_value_is_the_same_wherever_it_lies() {
        for activation in ALL {
            let mut values: Vec<f32> = (0..37).map(|at| 0.1 * at as f32).collect();
            values[3] = f32::INFINITY;
            let mut alone: Vec<f32> = values.clone();
            activation.apply(&mut values);
            alone
                .chunks_mut(1)
                .for_each(|value| activation.apply(value));
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(&alone), "{activation:?}");
            assert!(values[3].is_infinite());
        }
    }
}
