//! Rotary position embeddings: pairs of a head's values are turned by angles that grow with the position.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::rotary_emb::{rope, rope_i};
pub(crate) use chandler_kernels::Pairs;
use chandler_kernels::rotate;

use crate::models::rows;

/// A rotation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rotary {
    pub(crate) pairs: Pairs,
    /// Radians a token, by pair. Values of a head beyond these pairs stay as they are.
    pub(crate) frequencies: Vec<f64>,
    /// Multiplies what is rotated.
    pub(crate) scale: f64,
}

impl Rotary {
    /// The rotation of the first `length` values of a head, an even number: pair `i` turns by
    /// `base^(-2i / length)` radians a token.
    pub(crate) fn new(pairs: Pairs, length: usize, base: f64) -> Self {
        let half = length / 2;
        let frequencies = (0..half).map(|i| base.powf(-(i as f64) / half as f64));
        Self {
            pairs,
            frequencies: frequencies.collect(),
            scale: 1.0,
        }
    }

    /// Divides each frequency by its factor.
    pub(crate) fn divide(&mut self, factors: impl IntoIterator<Item = f64>) {
        for (frequency, factor) in self.frequencies.iter_mut().zip(factors) {
            *frequency /= factor;
        }
    }

    /// The angles at `positions`.
    pub(super) fn at(
        &self,
        positions: impl Iterator<Item = usize>,
        device: &Device,
    ) -> Result<Angles> {
        let angles = positions.flat_map(|at| self.frequencies.iter().map(move |f| at as f64 * f));
        let turn = |angle: f64| {
            let (sin, cos) = angle.sin_cos();
            ((cos * self.scale) as f32, (sin * self.scale) as f32)
        };
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(turn).unzip();
        let half = self.frequencies.len();
        let shape = (cos.len() / half.max(1), 1, half);
        Ok(Angles {
            pairs: self.pairs,
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }
}

/// The rotation of each row of a step.
pub(super) struct Angles {
    pairs: Pairs,
    /// `(rows, 1, pairs)`, as `sin`.
    cos: Tensor,
    sin: Tensor,
}

impl Angles {
    /// Rotates the heads of each row; `x` is `(rows, heads, head_dim)`, as is the result.
    pub(super) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.by_candle(x);
        }
        let (x, heads, half) = (x.contiguous()?, x.dim(1)?, self.cos.dim(D::Minus1)?);
        rows::read([&x, &self.cos, &self.sin], |[numbers, cos, sin]| {
            rows::make(&x, x.dim(D::Minus1)?, |at, head| {
                head.copy_from_slice(&numbers[at * head.len()..][..head.len()]);
                let angles = at / heads * half..(at / heads + 1) * half;
                rotate(head, (&cos[angles.clone()], &sin[angles]), self.pairs);
            })
        })
    }

    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        let turned = 2 * self.cos.dim(D::Minus1)?;
        let dim = x.dim(D::Minus1)?;
        // Each row is rotated as a sequence of its own, by the angles of its position.
        let x = x.unsqueeze(2)?;
        let part = match turned == dim {
            true => x.clone(),
            false => x.narrow(D::Minus1, 0, turned)?.contiguous()?,
        };
        let part = match self.pairs {
            Pairs::Interleaved => rope_i(&part, &self.cos, &self.sin)?,
            Pairs::Halves => rope(&part, &self.cos, &self.sin)?,
        };
        let whole = match turned == dim {
            true => part,
            false => Tensor::cat(
                &[part, x.narrow(D::Minus1, turned, dim - turned)?],
                D::Minus1,
            )?,
        };
        whole.squeeze(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_candle() {
        let (rows, heads, dim) = (5, 3, 24);
        let numbers = (0..rows * heads * dim).map(|at| (at as f32 * 0.37).sin());
        let x =
            Tensor::from_iter(numbers, &Device::Cpu).and_then(|x| x.reshape((rows, heads, dim)));
        let x = x.expect("numbers");
        for pairs in [Pairs::Interleaved, Pairs::Halves] {
            for turned in [2, 16, dim] {
                let mut rotary = Rotary::new(pairs, turned, 1e4);
                rotary.scale = 1.5;
                let angles = rotary.at([0, 1, 7, 300, 4000].into_iter(), &Device::Cpu);
                let angles = angles.expect("angles");
                let [ours, theirs] = [angles.rotate(&x), angles.by_candle(&x)]
                    .map(|it| it.and_then(|it| it.to_vec3::<f32>()).expect("numbers"));
                assert_eq!(ours, theirs, "{pairs:?} of {turned}");
                assert_ne!(ours[1], x.to_vec3::<f32>().expect("numbers")[1]);
            }
        }
    }
}
