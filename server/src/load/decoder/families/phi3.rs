//! Phi-3 and Phi-4-mini: Llama with stacked matrices, a window, and factors for long contexts.

use super::Plan;
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::gguf::Metadata;
use crate::load::decoder::layout::{self, Joined, Layout};
use crate::models::decoder::{Description, Pairs, Positions};

const LONG: &str = "rope_factors_long.weight";
const SHORT: &str = "rope_factors_short.weight";

const LAYOUT: Layout = Layout {
    query_key_value: Joined::Together("self_attn.qkv_proj"),
    gate_up: Joined::Together("mlp.gate_up_proj"),
    ..layout::LLAMA
};

const GGUF: Layout = Layout {
    query_key_value: Joined::Together("attn_qkv"),
    gate_up: Joined::Together("ffn_up"),
    ..layout::GGUF
};

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let mut description = checkpoint.description(None, false)?;
    description.kinds = checkpoint.windows(|_| true)?;
    Ok(Plan::new(description, LAYOUT))
}

pub(super) fn from_gguf(
    metadata: &Metadata<'_>,
    bytes: &[u8],
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Halves)?;
    let original = metadata.number("rope.scaling.original_context_length")?;
    let is_long = original.is_some_and(|original| description.context > original);
    let factors = if is_long { LONG } else { SHORT };
    let scale = metadata.positive("rope.scaling.attn_factor")?;
    if let Positions::Rotated(rotaries) = &mut description.positions
        && metadata.has_tensor(factors)
    {
        for rotary in rotaries {
            let count = rotary.frequencies.len();
            rotary.divide(metadata.factors(bytes, factors, count)?);
            rotary.scale = scale.unwrap_or(1.0);
        }
    }
    let mut layout = GGUF;
    // Some converters take them apart.
    if !metadata.has_tensor("blk.0.attn_qkv.weight") {
        layout.query_key_value = layout::GGUF.query_key_value;
    }
    Ok(Plan {
        description,
        layout,
        ignored: |name| name == LONG || name == SHORT,
    })
}
