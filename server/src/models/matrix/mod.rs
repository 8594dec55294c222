//! Matrices of weights: what a file stores, and what multiplies.

mod packed;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};

use packed::Packed;

use super::Backend;
use super::activation::{self, Activation};

/// A matrix as a file stores it, `(out, in)`.
// With CUDA a quantised one is larger; there is one at a time, and it is moved once.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Stored {
    /// f32, f16 or bf16.
    Floats(Tensor),
    /// Quantised, or floats of a GGUF file.
    Blocks(QTensor),
}

/// How products with weights of less than 32 bits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// On the weights as they are stored; with quantised ones what flows through the network is rounded
    /// to 8 bits.
    AsStored,
    /// In f32, on weights that are widened when they are loaded.
    Widened,
}

/// What is done to a product.
#[derive(Clone, Copy, Default)]
pub(crate) struct After<'a> {
    /// `(out)`; added.
    pub(crate) bias: Option<&'a Tensor>,
    /// Of what that gives.
    pub(crate) activation: Option<Activation>,
}

impl After<'_> {
    fn by_candle(self, mut product: Tensor) -> Result<Tensor> {
        if let Some(bias) = self.bias {
            product = product.broadcast_add(bias)?;
        }
        match self.activation {
            Some(activation) => activation::by_candle(activation, &product),
            None => Ok(product),
        }
    }
}

/// A matrix `(out, in)` that is ready to multiply. A clone shares the weights.
#[derive(Clone)]
pub(crate) struct Matrix(Held);

#[derive(Clone)]
enum Held {
    /// On the processor, in formats that our kernels have.
    Packed(Packed),
    /// On other devices, and in other formats.
    Candle(QMatMul),
}

impl Matrix {
    /// Prepares what is `stored`, which lies in the processor's memory where it is for our kernels.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn new(stored: Stored, arithmetic: Arithmetic, backend: Backend) -> Result<Self> {
        let stored = match (stored, arithmetic) {
            (Stored::Floats(floats), Arithmetic::Widened) => {
                Stored::Floats(floats.to_dtype(DType::F32)?)
            }
            (Stored::Blocks(blocks), Arithmetic::Widened) => {
                Stored::Floats(blocks.dequantize(&blocks.device())?)
            }
            (stored, Arithmetic::AsStored) => stored,
        };
        let packed = match backend {
            Backend::Kernels => Packed::new(&stored)?,
            Backend::TensorOps => None,
        };
        if let Some(packed) = packed {
            return Ok(Self(Held::Packed(packed)));
        }
        let matrix = match stored {
            // candle's products take inputs of the weights' own type, and would round them to 16 bits.
            Stored::Floats(floats) => QMatMul::Tensor(floats.to_dtype(DType::F32)?),
            Stored::Blocks(blocks) => QMatMul::from_qtensor(blocks)?,
        };
        Ok(Self(Held::Candle(matrix)))
    }

    /// The products with the rows of `x`, `(rows, in)`: `(rows, out)`, f32.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [product] = Self::products([(self, After::default())], x)?;
        Ok(product)
    }

    /// The products of several matrices with the rows of `x`, which are cheaper together, and what is done to each.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn products<const N: usize>(
        matrices: [(&Self, After<'_>); N],
        x: &Tensor,
    ) -> Result<[Tensor; N]> {
        let packed = matrices.iter();
        let packed = packed.filter_map(|(matrix, after)| Some((matrix.packed()?, *after)));
        let packed: Vec<(&Packed, After<'_>)> = packed.collect();
        let products = match packed.len() == N {
            true => Packed::products(&packed, x)?,
            false => matrices
                .iter()
                .map(|(matrix, after)| matrix.alone(x, *after))
                .collect::<Result<_>>()?,
        };
        let count = products.len();
        products
            .try_into()
            .map_err(|_| candle_core::Error::msg(format!("{count} products of {N} matrices")))
    }

    fn packed(&self) -> Option<&Packed> {
        match &self.0 {
            Held::Packed(packed) => Some(packed),
            Held::Candle(_) => None,
        }
    }

    fn alone(&self, x: &Tensor, after: After<'_>) -> Result<Tensor> {
        match &self.0 {
            Held::Packed(packed) => Packed::products(&[(packed, after)], x)?
                .pop()
                .ok_or_else(|| candle_core::Error::msg("a product is missing")),
            Held::Candle(matrix) => after.by_candle(matrix.forward(x)?),
        }
    }

    /// Its rows at `ids`, as f32: `(ids, in)`.
    ///
    /// # Errors
    /// What candle reports, and an id that there is no row for.
    pub(crate) fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        match &self.0 {
            Held::Packed(packed) => packed.rows(ids),
            Held::Candle(matrix) => matrix.embedding(&Tensor::new(ids, device)?),
        }
    }
}

/// Most bytes that a matrix holds beyond those of its file, as a share of 1 in so many: repacked super-blocks have their
/// scales unfolded.
pub(crate) const PACKED_EXTRA: u64 = 32;
