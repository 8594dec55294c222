//! Matrices of weights: what a file stores, and what multiplies.

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Result, Tensor};

/// A matrix as a file stores it, `(out, in)`.
pub(crate) enum Stored {
    /// f32, f16 or bf16.
    Floats(Tensor),
    /// Quantised, or floats of a GGUF file.
    Blocks(QTensor),
}

/// How products with quantised weights are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// On the stored blocks, with what flows through the network rounded to 8 bits.
    AsStored,
    /// In f32, on weights that are widened when they are loaded.
    Widened,
}

/// A matrix `(out, in)` that is ready to multiply. A clone shares the weights.
#[derive(Clone)]
pub(crate) struct Matrix(QMatMul);

impl Matrix {
    /// Prepares what is `stored`. Floats of 16 bits are widened: exact, and faster on processors than
    /// widening them in every product.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn new(stored: Stored, arithmetic: Arithmetic) -> Result<Self> {
        let matrix = match (stored, arithmetic) {
            (Stored::Floats(floats), _) => QMatMul::Tensor(floats.to_dtype(DType::F32)?),
            (Stored::Blocks(blocks), Arithmetic::Widened) => {
                QMatMul::Tensor(blocks.dequantize(&blocks.device())?)
            }
            (Stored::Blocks(blocks), Arithmetic::AsStored) => QMatMul::from_qtensor(blocks)?,
        };
        Ok(Self(matrix))
    }

    /// The products with the rows of `x`, `(rows, in)`: `(rows, out)`, f32.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }

    /// Its rows at `ids`, as f32: `(ids, in)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        self.0.embedding(ids)
    }
}
