//! In which numbers a decoder computes, and how much memory its weights take in them.

use crate::load::DtypeChoice;
use crate::models::matrix::{Arithmetic, PACKED_EXTRA};

/// The arithmetic for weights that may be of less than 32 bits.
pub(super) fn arithmetic(dtype: DtypeChoice) -> Arithmetic {
    match dtype {
        DtypeChoice::F32 => Arithmetic::Widened,
        DtypeChoice::Auto | DtypeChoice::F16 | DtypeChoice::Bf16 => Arithmetic::AsStored,
    }
}

/// Bytes that weights take: `stored` in their files, `elements` numbers.
pub(super) fn weight_bytes(arithmetic: Arithmetic, stored: u64, elements: u64) -> u64 {
    match arithmetic {
        Arithmetic::AsStored => stored.saturating_add(stored / PACKED_EXTRA),
        Arithmetic::Widened => elements.saturating_mul(size_of::<f32>() as u64),
    }
}
