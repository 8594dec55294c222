//! The model families that this server knows.

use crate::load::LoadError;

const KNOWN: [&str; 2] = [
    "bert (config.json with safetensors)",
    "llama (GGUF, also Mistral and SmolLM)",
];

/// Families of encoders, by `model_type` of their `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoder {
    Bert,
}

/// Families of decoders, by `general.architecture` of their GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    Llama,
}

impl Encoder {
    pub(crate) fn of(model_type: &str) -> Result<Self, LoadError> {
        match model_type {
            "bert" => Ok(Self::Bert),
            other => Err(unknown(other)),
        }
    }
}

impl Decoder {
    pub(crate) fn of(architecture: &str) -> Result<Self, LoadError> {
        match architecture {
            "llama" => Ok(Self::Llama),
            other => Err(unknown(other)),
        }
    }
}

fn unknown(found: &str) -> LoadError {
    LoadError::UnknownArchitecture {
        found: found.to_owned(),
        known: KNOWN.to_vec(),
    }
}
