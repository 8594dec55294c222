//! What the cache of keys and values gets of the memory.

use super::LoadError;
use crate::models::CacheSize;
use crate::models::llama::LlamaConfig;

const MIB: u64 = 1 << 20;
/// Tokens of a block of the cache.
const BLOCK_TOKENS: usize = 16;
/// Tokens of the cache for each sequence that is written together, where one of the greatest length has
/// room besides. Longer ones share what the shorter leave, or wait.
const TOKENS_A_SEQUENCE: usize = 512;
/// Share of the memory that weights leave, that more than one sequence may fill.
const CACHE_SHARE: u64 = 2;

/// Whether weights and the cache of one sequence fit.
///
/// # Errors
/// [`LoadError::OutOfMemory`], with the length that would fit.
pub(super) fn check_memory(
    weights: u64,
    config: &LlamaConfig,
    available: u64,
) -> Result<(), LoadError> {
    let per_token = config.cache_bytes_per_token();
    let cache = per_token.saturating_mul(config.context as u64);
    let needed = weights.saturating_add(cache);
    if needed <= available {
        return Ok(());
    }
    let fits = available.saturating_sub(weights) / per_token.max(1);
    let advice = match fits {
        0 => "give the server more memory, or take a smaller model".to_owned(),
        fits => format!("write maxModelLen: {fits} or less, or give the server more memory"),
    };
    Err(LoadError::OutOfMemory {
        needed_mib: needed.div_ceil(MIB),
        weights_mib: weights.div_ceil(MIB),
        cache_mib: cache.div_ceil(MIB),
        context: config.context,
        available_mib: available / MIB,
        advice,
    })
}

/// Room for so many sequences of a usual length, or for as many as fit into their share of the memory that is
/// `left`; for one of the greatest length in any case.
pub(super) fn cache_size(config: &LlamaConfig, sequences: usize, left: Option<u64>) -> CacheSize {
    let one = config.context.div_ceil(BLOCK_TOKENS);
    let usual = one.min(TOKENS_A_SEQUENCE.div_ceil(BLOCK_TOKENS));
    let all = one.max(usual.saturating_mul(sequences));
    let block_bytes = config
        .cache_bytes_per_token()
        .saturating_mul(BLOCK_TOKENS as u64);
    let fits = left.map_or(u64::MAX, |left| left / CACHE_SHARE / block_bytes.max(1));
    let fits = usize::try_from(fits).unwrap_or(usize::MAX);
    CacheSize {
        blocks: u32::try_from(all.min(fits.max(one))).unwrap_or(u32::MAX),
        block_tokens: BLOCK_TOKENS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LlamaConfig {
        LlamaConfig {
            layers: 1,
            hidden: 32,
            feed_forward: 64,
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
            vocab: 259,
            norm_eps: 1e-5,
            rope_base: 10_000.0,
            context: 64,
        }
    }

    #[test]
    fn a_cache_that_does_not_fit_is_refused_with_the_length_that_does() {
        let config = config();
        // One layer, one head of 16 keys and 16 values.
        assert_eq!(config.cache_bytes_per_token(), 128);
        assert!(check_memory(1000, &config, 1000 + 64 * 128).is_ok());
        let error = check_memory(1000, &config, 1000 + 63 * 128).expect_err("too little");
        assert!(error.to_string().contains("maxModelLen: 63"), "{error}");
        let error = check_memory(1000, &config, 1000).expect_err("too little");
        assert!(error.to_string().contains("smaller model"), "{error}");
    }

    #[test]
    fn the_cache_has_room_for_all_sequences_or_for_what_fits_or_for_one() {
        let config = config();
        let tokens = |sequences, left| cache_size(&config, sequences, left).tokens();
        assert_eq!(tokens(3, None), 3 * 64);
        assert_eq!(tokens(3, Some(1 << 30)), 3 * 64);
        assert_eq!(tokens(3, Some(2 * 128 * 100)), 96);
        assert_eq!(tokens(3, Some(0)), 64);
        let long = LlamaConfig {
            context: 4096,
            ..config
        };
        let tokens = |sequences| cache_size(&long, sequences, None).tokens();
        assert_eq!((tokens(3), tokens(16)), (4096, 16 * 512));
    }
}
