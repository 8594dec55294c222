//! A matrix with a bias.

use candle_core::{Result, Tensor};

use super::activation::Activation;
use super::matrix::{After, Matrix};

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
        let [product] = Self::products([self], x)?;
        Ok(product)
    }

    /// [`Linear::forward`], and the function of every value of it.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let after = After {
            activation: Some(activation),
            ..self.after()
        };
        let [product] = Matrix::products([(&self.weight, after)], x)?;
        Ok(product)
    }

    /// What several give for the same rows of `x`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn products<const N: usize>(all: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        Matrix::products(all.map(|linear| (&linear.weight, linear.after())), x)
    }

    fn after(&self) -> After<'_> {
        After {
            bias: self.bias.as_ref(),
            activation: None,
        }
    }
}
