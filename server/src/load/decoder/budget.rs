//! What a decoder's memory is spent on, known before any of it is taken.
//!
//! ```text
//! weights + cache_token · tokens of the cache
//!         + step_token · (sequences + prompt tokens of a step) + sequence · sequences + scratch
//!         + requests + process  ≤  available
//! ```
//!
//! Where that does not hold there are fewer blocks in the cache, down to one sequence of the greatest length;
//! then fewer prompt tokens in a step; then the model is not loaded.

use crate::http::LEAST_ROOM;
use crate::load::{LoadError, LoadOptions};
use crate::memory::{PROCESS, RESERVE};
use crate::models::CacheSize;
use crate::models::decoder::Description;

const MIB: u64 = 1 << 20;
const FLOAT: u64 = size_of::<f32>() as u64;
/// Tokens of a block of the cache.
const BLOCK_TOKENS: usize = 16;
/// Tokens of the cache for each sequence that is written together, where one of the greatest length has
/// room besides. Longer ones share what the shorter leave, or wait.
const TOKENS_A_SEQUENCE: usize = 512;
/// Share of the memory that is left, that more than one sequence may fill.
const CACHE_SHARE: u64 = 2;
/// Most tokens of prompts in a step, and the fewest that are worth one.
const STEP_TOKENS: usize = 512;
const FEWEST_STEP_TOKENS: usize = 32;
/// Queries that the attention takes at once.
const QUERIES: u64 = 4;
/// What a token of the vocabulary takes in tokenizers and in tries of grammars.
const VOCABULARY_TOKEN: u64 = 512;
/// A request that waits or is computed: its connection's buffers, its tokens and the answer on its way.
const REQUEST: u64 = 64 << 10;

/// Terms of the sum, bytes where nothing else is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) weights: u64,
    /// Longest sequence, tokens.
    pub(super) context: usize,
    /// Keys and values of a token in all layers.
    pub(super) cache_token: u64,
    /// What flows through the network for each token of a step, where it is widest.
    pub(super) step_token: u64,
    /// Most sequences that are computed together.
    pub(super) sequences: usize,
    /// The logits of a sequence that writes, and what sampling makes of them.
    pub(super) sequence: u64,
    /// Scores of the attention, of all threads.
    pub(super) scratch: u64,
    /// What all requests hold that may be in flight.
    pub(super) requests: u64,
    /// What the process holds besides and does not hold yet, and the reserve.
    pub(super) process: u64,
}

/// How the memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) cache: CacheSize,
    /// Most tokens of prompts in a step.
    pub(super) step_tokens: usize,
}

impl Needs {
    /// Of a model with so many bytes of `weights`, computed by so many `threads`, in a process that holds
    /// `resident` bytes already.
    pub(super) fn of(
        description: &Description,
        weights: u64,
        options: &LoadOptions,
        threads: usize,
        resident: u64,
    ) -> Self {
        let vocab = description.vocab as u64;
        let context = description.context as u64;
        let sequences = options.sequences();
        // Twice as the model gives them, once as they are changed, and numbered to be drawn from; where they
        // are capped three more are alive on the way.
        let logits = if description.logit_cap.is_some() {
            8
        } else {
            5
        };
        let scores = QUERIES * (context.saturating_add(description.head_dim as u64)) * FLOAT;
        let requests = options.queue().saturating_add(sequences) as u64;
        let process = vocab
            .saturating_mul(VOCABULARY_TOKEN)
            .saturating_add(PROCESS)
            .saturating_sub(resident);
        Self {
            weights,
            context: description.context,
            cache_token: description.cache_bytes_per_token(),
            step_token: step_token(description),
            sequences,
            sequence: vocab.saturating_mul(logits * FLOAT),
            scratch: scores.saturating_mul(threads as u64),
            requests: requests.saturating_mul(REQUEST).saturating_add(LEAST_ROOM),
            process: process.saturating_add(RESERVE),
        }
    }

    /// Spends what is `available`; nothing bounds it where that is not known.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`], with the length that does fit.
    pub(super) fn plan(&self, available: Option<u64>) -> Result<Budget, LoadError> {
        let one = self.context.div_ceil(BLOCK_TOKENS);
        let usual = one.min(TOKENS_A_SEQUENCE.div_ceil(BLOCK_TOKENS));
        let wanted = one.max(usual.saturating_mul(self.sequences));
        let block = self.cache_token.saturating_mul(BLOCK_TOKENS as u64).max(1);
        let mut step_tokens = STEP_TOKENS;
        loop {
            let left = available.map_or(u64::MAX, |all| {
                all.saturating_sub(self.besides_cache(step_tokens))
            });
            if left / block >= one as u64 {
                let shared = usize::try_from(left / CACHE_SHARE / block).unwrap_or(usize::MAX);
                let blocks = wanted.min(shared.max(one));
                return Ok(Budget {
                    cache: CacheSize {
                        blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
                        block_tokens: BLOCK_TOKENS,
                    },
                    step_tokens,
                });
            }
            if step_tokens <= FEWEST_STEP_TOKENS {
                return Err(self.too_much(left / block, available.unwrap_or(u64::MAX)));
            }
            step_tokens /= 2;
        }
    }

    /// All terms but the cache's, where steps read so many tokens of prompts.
    fn besides_cache(&self, step_tokens: usize) -> u64 {
        let tokens = self.sequences.saturating_add(step_tokens) as u64;
        let terms = [
            self.weights,
            self.step_token.saturating_mul(tokens),
            self.sequence.saturating_mul(self.sequences as u64),
            self.scratch,
            self.requests,
            self.process,
        ];
        terms.into_iter().fold(0, u64::saturating_add)
    }

    fn too_much(&self, blocks_that_fit: u64, available: u64) -> LoadError {
        let cache = self.cache_token.saturating_mul(self.context as u64);
        let besides = self.besides_cache(FEWEST_STEP_TOKENS);
        let advice = match blocks_that_fit.saturating_mul(BLOCK_TOKENS as u64) {
            0 => "give the server more memory, or take a smaller model".to_owned(),
            fits => format!("write maxModelLen: {fits} or less, or give the server more memory"),
        };
        LoadError::OutOfMemory {
            needed_mib: besides.saturating_add(cache).div_ceil(MIB),
            weights_mib: self.weights.div_ceil(MIB),
            cache_mib: cache.div_ceil(MIB),
            rest_mib: besides.saturating_sub(self.weights).div_ceil(MIB),
            context: self.context,
            available_mib: available / MIB,
            advice,
        }
    }
}

/// Bytes that a token of a step takes at most at a time: what goes around a block and into it, and the wider
/// of the two blocks. Inputs of matrices are rounded beside it, 5 bytes for 4 columns and twice where they are
/// joined; a share of an eighth goes to lists of the parts of products.
fn step_token(description: &Description) -> u64 {
    let (hidden, query, key) = (
        description.hidden as u64,
        description.query_width() as u64,
        description.key_width() as u64,
    );
    let inner = description.feed_forward.inner as u64;
    // Queries and keys as they are, normalised and rotated, values, and what is mixed of them.
    let attention = query
        .saturating_mul(4)
        .saturating_add(key.saturating_mul(4));
    // The gate, what the activation makes of it, what it multiplies and the product.
    let feed_forward = inner.saturating_mul(if description.feed_forward.gated { 4 } else { 2 });
    let floats = hidden
        .saturating_mul(4)
        .saturating_add(attention.max(feed_forward));
    let widest = hidden.max(query).max(inner);
    let rounded = widest.saturating_mul(5) / 2;
    let bytes = floats.saturating_mul(FLOAT);
    bytes.saturating_add(bytes / 8).saturating_add(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs {
        weights: 100_000,
        context: 64,
        cache_token: 128,
        step_token: 10,
        sequences: 3,
        sequence: 1000,
        scratch: 500,
        requests: 2000,
        process: 5000,
    };
    /// All but what steps take.
    const FIXED: u64 = 100_000 + 3 * 1000 + 500 + 2000 + 5000;
    const ONE: u64 = 64 * 128;

    fn planned(available: u64) -> (usize, usize) {
        let budget = NEEDS.plan(Some(available)).unwrap();
        (budget.cache.tokens(), budget.step_tokens)
    }

    #[test]
    fn the_cache_has_room_for_all_sequences_or_for_what_fits_or_for_one() {
        let step = 10 * (3 + 512);
        let tokens = |left| planned(FIXED + step + left);
        assert_eq!(NEEDS.plan(None).unwrap().cache.tokens(), 3 * 64);
        assert_eq!(tokens(1 << 30), (3 * 64, 512));
        assert_eq!(tokens(2 * 128 * 100), (96, 512));
        assert_eq!(tokens(ONE), (64, 512));
        let long = Needs {
            context: 4096,
            ..NEEDS
        };
        let tokens = |sequences| {
            let needs = Needs { sequences, ..long };
            needs.plan(None).unwrap().cache.tokens()
        };
        assert_eq!((tokens(3), tokens(16)), (4096, 16 * 512));
    }

    #[test]
    fn steps_are_shorter_before_a_model_is_refused() {
        assert_eq!(planned(FIXED + 10 * (3 + 512) + ONE - 1), (64, 256));
        assert_eq!(planned(FIXED + 10 * (3 + 32) + ONE), (64, 32));
        let least = FIXED + 10 * (3 + 32) + ONE;
        let error = NEEDS.plan(Some(least - 1)).unwrap_err().to_string();
        assert!(error.contains("maxModelLen: 48 or less"), "{error}");
        let error = NEEDS.plan(Some(FIXED)).unwrap_err().to_string();
        assert!(error.contains("smaller model"), "{error}");
    }

    #[test]
    fn no_number_is_too_large_to_be_refused() {
        let absurd = Needs {
            cache_token: u64::MAX,
            step_token: u64::MAX,
            ..NEEDS
        };
        assert!(absurd.plan(Some(u64::MAX)).is_err());
    }
}
