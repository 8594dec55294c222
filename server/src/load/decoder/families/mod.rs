//! One file a family: what its files say becomes a description and a layout.

mod gemma3;
mod gpt2;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;

use super::checkpoint::{Checkpoint, Config};
use super::gguf::Metadata;
use super::layout::Layout;
use crate::load::files::Files;
use crate::load::gguf::Header;
use crate::load::{LoadError, LoadOptions};
use crate::models::decoder::Description;
use crate::models::registry::Decoder;

/// What a model is, and how its files hold it.
pub(super) struct Plan {
    pub(super) description: Description,
    pub(super) layout: Layout,
    /// Whether a tensor is no weight, though files have it.
    pub(super) ignored: fn(&str) -> bool,
}

impl Plan {
    fn new(description: Description, layout: Layout) -> Self {
        Self {
            description,
            layout,
            ignored: |_| false,
        }
    }
}

/// Reads the `config.json` called `name`. `has` tells which tensors there are.
///
/// # Errors
/// [`LoadError`].
pub(super) fn from_config(
    family: Decoder,
    files: &Files,
    name: &str,
    has: &dyn Fn(&str) -> bool,
    options: &LoadOptions,
) -> Result<Plan, LoadError> {
    if family == Decoder::Gpt2 {
        return gpt2::from_config(files, name, has, options);
    }
    let config: Option<Config> = files.json(name)?;
    let checkpoint = Checkpoint {
        name,
        config: config.ok_or_else(|| LoadError::config(name, "it is absent"))?,
        options,
    };
    match family {
        Decoder::Llama | Decoder::Gpt2 => llama::from_config(&checkpoint),
        Decoder::Mistral => mistral::from_config(&checkpoint),
        Decoder::Qwen2 => qwen2::from_config(&checkpoint),
        Decoder::Qwen3 => qwen3::from_config(&checkpoint),
        Decoder::Gemma3 => gemma3::from_config(&checkpoint),
        Decoder::Phi3 => phi3::from_config(&checkpoint),
    }
}

/// Reads the metadata of a GGUF file; `bytes` is all of it.
///
/// # Errors
/// [`LoadError`].
pub(super) fn from_gguf(
    family: Decoder,
    header: &Header,
    bytes: &[u8],
    options: &LoadOptions,
) -> Result<Plan, LoadError> {
    let metadata = Metadata::new(header, family.architecture());
    let describe = |pairs| metadata.description(options, pairs);
    match family {
        Decoder::Llama | Decoder::Mistral => llama::from_gguf(&metadata, bytes, describe),
        Decoder::Qwen2 => qwen2::from_gguf(describe),
        Decoder::Qwen3 => qwen3::from_gguf(describe),
        Decoder::Gemma3 => gemma3::from_gguf(&metadata, describe),
        Decoder::Phi3 => phi3::from_gguf(&metadata, bytes, describe),
        Decoder::Gpt2 => gpt2::from_gguf(&metadata, describe),
    }
}
