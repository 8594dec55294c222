//! What a model's steps spend their time with, by a processor's vector instructions: products of a batch of rows with
//! a weight matrix that is held as a file of weights has it, quantised in blocks, or as numbers of 32 or 16 bits;
//! [`Attention`]; the functions between ([`Activation`], [`by_mean_square`], [`by_variance`], [`rotate`]).
//!
//! A [`Matrix`] takes the bytes of a GGUF tensor (or the plain numbers of a safetensors one) and repacks them once,
//! eight rows side by side, so that a vector register holds the same columns of eight rows and no sum is ever taken
//! across a register. The caller may then drop the original.
//!
//! What holds of every product, for every format and instruction set:
//! - A row of the result depends on its own row of the input alone: neither on how many rows there are, nor on what
//!   they hold, nor on the number of threads. Each element has one order of summation, which no tiling changes.
//! - With quantised weights the sums within a block are whole numbers, hence exact, and blocks are added up with
//!   fused multiply-adds from the first to the last: all instruction sets give the same bits.

#![deny(unsafe_code)]

mod activation;
mod attention;
mod dense;
mod exp;
mod format;
mod gelu;
mod half;
mod input;
mod matrix;
mod norm;
mod quant;
mod rotate;
mod simd;
mod tasks;

pub use activation::Activation;
pub use attention::{Attention, HeadCache, LANES, Query};
pub use format::Format;
pub use matrix::{Finish, Matrix, MatrixError, Part, ProductError, products};
pub use norm::{by_mean_square, by_variance};
pub use rotate::{Pairs, rotate};
pub use simd::Instructions;
