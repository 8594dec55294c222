//! Qwen3: Llama with normalised heads of queries and keys.

use super::{Plan, qwen2};
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::layout;
use crate::models::decoder::{Biases, Description, Pairs};

/// Length of a head where the file does not say it.
const HEAD_DIM: usize = 128;

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let mut description = checkpoint.description(Some(HEAD_DIM), false)?;
    let biased = checkpoint.config.attention_bias;
    description.biases = Biases {
        query_key_value: biased,
        attention_output: biased,
        feed_forward: false,
    };
    description.head_norm = true;
    description.kinds = qwen2::windows(checkpoint)?;
    Ok(Plan::new(description, layout::LLAMA))
}

pub(super) fn from_gguf(
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Halves)?;
    description.head_norm = true;
    Ok(Plan::new(description, layout::GGUF))
}
