//! The model families that this server knows.

use crate::load::LoadError;

const KNOWN: [&str; 8] = [
    "bert (config.json with safetensors)",
    "llama (also SmolLM2)",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma3_text (gemma3 in GGUF)",
    "phi3",
    "gpt2 (also DialoGPT), those from llama on from safetensors or GGUF",
];

/// What a model does with text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Encoder(Encoder),
    Decoder(Decoder),
}

/// Families of encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoder {
    Bert,
}

/// Families of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
    Gpt2,
}

impl Family {
    /// By `model_type` of a `config.json`.
    ///
    /// # Errors
    /// [`LoadError::UnknownArchitecture`].
    pub(crate) fn of(model_type: &str) -> Result<Self, LoadError> {
        Ok(match model_type {
            "bert" => Self::Encoder(Encoder::Bert),
            "llama" => Self::Decoder(Decoder::Llama),
            "mistral" => Self::Decoder(Decoder::Mistral),
            "qwen2" => Self::Decoder(Decoder::Qwen2),
            "qwen3" => Self::Decoder(Decoder::Qwen3),
            "gemma3_text" => Self::Decoder(Decoder::Gemma3),
            "phi3" => Self::Decoder(Decoder::Phi3),
            "gpt2" => Self::Decoder(Decoder::Gpt2),
            other => return Err(unknown(other)),
        })
    }
}

impl Encoder {
    /// Whether a model whose configuration names these `architectures` ends in a classifier of whole texts. Else it
    /// is taken for the vectors that it has of tokens, whatever it was trained to predict by them.
    ///
    /// # Errors
    /// [`LoadError::UnknownArchitecture`] for other heads: what they tell is not served.
    pub(crate) fn classifies(self, architectures: &[String]) -> Result<bool, LoadError> {
        let (vectors, labels) = match self {
            Self::Bert => (
                ["BertModel", "BertForMaskedLM", "BertForPreTraining"],
                "BertForSequenceClassification",
            ),
        };
        match architectures.first().map(String::as_str) {
            Some(found) if found == labels => Ok(true),
            Some(found) if !vectors.contains(&found) => Err(LoadError::UnknownArchitecture {
                found: found.to_owned(),
                known: vectors.into_iter().chain([labels]).collect(),
            }),
            _ => Ok(false),
        }
    }
}

impl Decoder {
    /// By `general.architecture` of a GGUF file.
    ///
    /// # Errors
    /// [`LoadError::UnknownArchitecture`].
    pub(crate) fn of(architecture: &str) -> Result<Self, LoadError> {
        let all = [
            Self::Llama,
            Self::Qwen2,
            Self::Qwen3,
            Self::Gemma3,
            Self::Phi3,
            Self::Gpt2,
        ];
        let found = all.into_iter().find(|it| it.architecture() == architecture);
        found.ok_or_else(|| unknown(architecture))
    }

    /// What its GGUF files call it. Mistral's say that they are Llama's.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Llama | Self::Mistral => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::Gpt2 => "gpt2",
        }
    }
}

fn unknown(found: &str) -> LoadError {
    LoadError::UnknownArchitecture {
        found: found.to_owned(),
        known: KNOWN.to_vec(),
    }
}
