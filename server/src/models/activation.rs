//! The functions between the two layers of a feed-forward block.

use candle_core::{Result, Tensor};
use candle_nn::ops::silu;

use super::gelu::gelu;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// The exact one, by the error function.
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    Relu,
    Silu,
}

impl Activation {
    /// By its name in a `config.json`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "silu" => Some(Self::Silu),
            _ => None,
        }
    }

    /// Of every value of `x`.
    ///
    /// # Errors
    /// What candle reports.
    pub(crate) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => gelu(x),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::Silu => silu(x),
        }
    }
}
