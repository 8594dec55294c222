//! Mistral: Llama with a sliding window. Its GGUF files say that they are Llama's.

use super::Plan;
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::layout;

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let mut description = checkpoint.description(None, false)?;
    description.kinds = checkpoint.windows(|_| true)?;
    Ok(Plan::new(description, layout::LLAMA))
}
