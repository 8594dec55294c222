//! Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.

use super::Plan;
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::layout;
use crate::models::decoder::{Biases, Description, LayerKind, Pairs};

const BIASES: Biases = Biases {
    query_key_value: true,
    attention_output: false,
    feed_forward: false,
};

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let mut description = checkpoint.description(None, false)?;
    description.biases = BIASES;
    description.kinds = windows(checkpoint)?;
    Ok(Plan::new(description, layout::LLAMA))
}

/// Files tell a window and yet do not use it, as a rule.
pub(super) fn windows(checkpoint: &Checkpoint<'_>) -> Result<Vec<LayerKind>, LoadError> {
    let config = &checkpoint.config;
    if !config.use_sliding_window.unwrap_or(false) {
        return Ok(vec![LayerKind::default()]);
    }
    let first = config.max_window_layers.unwrap_or(0);
    checkpoint.windows(|layer| layer >= first)
}

pub(super) fn from_gguf(
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Halves)?;
    description.biases = BIASES;
    Ok(Plan::new(description, layout::GGUF))
}
