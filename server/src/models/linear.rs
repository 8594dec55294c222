//! A matrix with a bias.

use candle_core::{Result, Tensor};

use super::matrix::Matrix;

/// A matrix and what is added to its products.
pub(crate) struct Linear {
    pub(crate) weight: Matrix,
    /// `(out)`.
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    /// What it gives for the rows of `x`, `(rows, in)`: `(rows, out)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.shift(self.weight.forward(x)?)
    }

    /// What several give for the same rows of `x`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn products<const N: usize>(all: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let mut products = Matrix::products(all.map(|linear| &linear.weight), x)?;
        for (product, linear) in products.iter_mut().zip(all) {
            *product = linear.shift(product.clone())?;
        }
        Ok(products)
    }

    fn shift(&self, product: Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}
