//! Products of a batch of rows with a weight matrix that is held as a file of weights has it: quantised in
//! blocks, or as numbers of 32 or 16 bits.
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

mod dense;
mod format;
mod half;
mod input;
mod matrix;
mod quant;
mod simd;
mod tasks;

pub use format::Format;
pub use matrix::{Matrix, MatrixError, ProductError, products};
pub use simd::Instructions;
