//! Llama, also SmolLM2 and what else was built alike.

use super::Plan;
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::gguf::Metadata;
use crate::load::decoder::layout;
use crate::models::decoder::{Biases, Description, Pairs, Positions};

/// What Llama 3's files divide the frequencies by.
const ROPE_FACTORS: &str = "rope_freqs.weight";

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let config = &checkpoint.config;
    let mut description = checkpoint.description(None, false)?;
    description.biases = Biases {
        query_key_value: config.attention_bias,
        attention_output: config.attention_bias,
        feed_forward: config.mlp_bias,
    };
    Ok(Plan {
        description,
        layout: layout::LLAMA,
        // Old files hold the frequencies too.
        ignored: |name| name.ends_with("rotary_emb.inv_freq"),
    })
}

pub(super) fn from_gguf(
    metadata: &Metadata<'_>,
    bytes: &[u8],
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Interleaved)?;
    // No metadata tell whether there are biases.
    let biased = |part: &str| metadata.has_tensor(&format!("blk.0.{part}.bias"));
    description.biases = Biases {
        query_key_value: biased("attn_q"),
        attention_output: biased("attn_output"),
        feed_forward: biased("ffn_up"),
    };
    if let Positions::Rotated(rotaries) = &mut description.positions
        && metadata.has_tensor(ROPE_FACTORS)
    {
        for rotary in rotaries {
            let count = rotary.frequencies.len();
            rotary.divide(metadata.factors(bytes, ROPE_FACTORS, count)?);
        }
    }
    Ok(Plan {
        description,
        layout: layout::GGUF,
        ignored: |name| name == ROPE_FACTORS,
    })
}
