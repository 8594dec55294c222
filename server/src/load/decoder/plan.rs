//! How much memory a decoder takes, and how much of it its cache.

use candle_core::Device;

use crate::load::{DtypeChoice, LoadError};
use crate::models::CacheSize;
use crate::models::decoder::Description;
use crate::models::matrix::{Arithmetic, PACKED_EXTRA};

const MIB: u64 = 1 << 20;
/// Tokens of a block of the cache.
const BLOCK_TOKENS: usize = 16;
/// Tokens of the cache for each sequence that is written together, where one of the greatest length has
/// room besides. Longer ones share what the shorter leave, or wait.
const TOKENS_A_SEQUENCE: usize = 512;
/// Share of the memory that weights leave, that more than one sequence may fill.
const CACHE_SHARE: u64 = 2;
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

/// Whether weights of so many bytes and a cache for one sequence fit into what is `available` on the device.
///
/// # Errors
/// [`LoadError::OutOfMemory`], with the length that does fit.
pub(super) fn check_memory(
    weights: u64,
    description: &Description,
    available: u64,
    device: &Device,
) -> Result<(), LoadError> {
    let per_token = description.cache_bytes_per_token();
    let cache = per_token.saturating_mul(description.context as u64);
    let needed = weights.saturating_add(cache);
    if needed <= available {
        return Ok(());
    }
    let fits = available.saturating_sub(weights) / per_token.max(1);
    let more = match device.is_cpu() {
        true => "give the server more memory",
        false => "take a GPU with more memory",
    };
    let advice = match fits {
        0 => format!("{more}, or take a smaller model"),
        fits => format!("write maxModelLen: {fits} or less, or {more}"),
    };
    Err(LoadError::OutOfMemory {
        needed_mib: needed.div_ceil(MIB),
        weights_mib: weights.div_ceil(MIB),
        cache_mib: cache.div_ceil(MIB),
        context: description.context,
        available_mib: available / MIB,
        advice,
    })
}

/// Room for so many sequences of a usual length, or for as many as fit into their share of the memory that is
/// `left`; for one of the greatest length in any case.
pub(super) fn cache_size(
    description: &Description,
    sequences: usize,
    left: Option<u64>,
) -> CacheSize {
    let one = description.context.div_ceil(BLOCK_TOKENS);
    let usual = one.min(TOKENS_A_SEQUENCE.div_ceil(BLOCK_TOKENS));
    let all = one.max(usual.saturating_mul(sequences));
    let block_bytes = description
        .cache_bytes_per_token()
        .saturating_mul(BLOCK_TOKENS as u64);
    let fits = left.map_or(u64::MAX, |left| left / CACHE_SHARE / block_bytes.max(1));
    let fits = usize::try_from(fits).unwrap_or(usize::MAX);
    CacheSize {
        blocks: u32::try_from(all.min(fits.max(one))).unwrap_or(u32::MAX),
        block_tokens: BLOCK_TOKENS,
    }
}
