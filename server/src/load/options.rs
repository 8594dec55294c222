//! What the caller may choose about a model.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use super::LoadError;
use crate::models::Backend;

/// What a model is served for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// Whatever the model can do.
    #[default]
    Auto,
    /// Conversations, by the model's chat template.
    Chat,
    /// Text that goes on from a prompt.
    Completion,
    /// Vectors of texts.
    Embedding,
    /// Labels of texts.
    Classification,
}

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The best device that this build and this machine have.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

/// The number format that a model computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DtypeChoice {
    /// What suits the weights and the device: f32 for float weights and for small quantised
    /// ones, and large quantised weights as they are stored.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats.
    Bf16,
}

/// A word that none of an option's values is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no {option}; write one of {values}")]
pub struct UnknownChoice {
    found: String,
    option: &'static str,
    values: &'static str,
}

impl UnknownChoice {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "UnknownChoice"
    }
}

macro_rules! words {
    ($kind:ty, $option:literal, $values:literal, $($word:literal => $variant:path),+) => {
        impl $kind {
            /// The word that users write for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($variant => $word),+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $kind {
            type Err = UnknownChoice;

            fn from_str(word: &str) -> Result<Self, UnknownChoice> {
                match word {
                    $($word => Ok($variant),)+
                    _ => Err(UnknownChoice {
                        found: word.to_owned(),
                        option: $option,
                        values: $values,
                    }),
                }
            }
        }
    };
}

words!(Task, "task", "auto, chat, completion, embedding, classification",
    "auto" => Task::Auto, "chat" => Task::Chat,
    "completion" => Task::Completion, "embedding" => Task::Embedding,
    "classification" => Task::Classification);
words!(DeviceChoice, "device", "auto, cpu, cuda",
    "auto" => DeviceChoice::Auto, "cpu" => DeviceChoice::Cpu, "cuda" => DeviceChoice::Cuda);
words!(DtypeChoice, "dtype", "auto, f32, f16, bf16",
    "auto" => DtypeChoice::Auto, "f32" => DtypeChoice::F32,
    "f16" => DtypeChoice::F16, "bf16" => DtypeChoice::Bf16);

impl DtypeChoice {
    /// Checks the choice for weights that were stored as floats: they are computed in f32.
    pub(crate) fn check_floats(self) -> Result<(), LoadError> {
        match self {
            Self::Auto | Self::F32 => Ok(()),
            Self::F16 | Self::Bf16 => Err(LoadError::DtypeUnsupported {
                dtype: self.as_str(),
                problem: "weights that are stored as floats are computed in f32",
                instead: "auto` or `f32",
            }),
        }
    }

    /// Checks the choice for weights that were quantised when the file was made.
    pub(crate) fn check_quantized(self) -> Result<(), LoadError> {
        match self {
            Self::Auto | Self::F32 => Ok(()),
            Self::F16 | Self::Bf16 => Err(LoadError::DtypeUnsupported {
                dtype: self.as_str(),
                problem: "a GGUF file is computed as it is stored or widened to f32",
                instead: "auto` or `f32",
            }),
        }
    }
}

/// What the caller chose.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// What the model is served for.
    pub task: Task,
    /// Where it computes.
    pub device: DeviceChoice,
    /// The number format that it computes in.
    pub dtype: DtypeChoice,
    /// Longest sequence in tokens; the model's own limit where `None`.
    pub max_model_len: Option<usize>,
    /// Most sequences that are written together, which its cache is to have room for.
    pub max_batch: Option<usize>,
    /// Compute by candle's tensor operations alone on the processor too, as on devices that our kernels have
    /// no code for. It is slower; tests compare both.
    pub tensor_ops: bool,
    /// Most requests that wait, which hold memory.
    pub max_queue: Option<usize>,
}

/// Requests that wait where nobody says how many.
pub(crate) const QUEUE: usize = 256;

/// Sequences that are written together where nobody says how many.
const SEQUENCES: usize = 16;

/// Most sequences that are written together, where so many are asked for.
pub(crate) fn sequences(asked: Option<usize>) -> usize {
    asked.unwrap_or(SEQUENCES).max(1)
}

impl LoadOptions {
    /// Whose code computes on a device.
    pub(crate) fn backend(&self, device: &Device) -> Backend {
        match self.tensor_ops {
            true => Backend::TensorOps,
            false => Backend::of(device),
        }
    }

    /// Most sequences that are written together.
    #[must_use]
    pub fn sequences(&self) -> usize {
        sequences(self.max_batch)
    }

    /// Most requests that wait.
    pub(crate) fn queue(&self) -> usize {
        self.max_queue.unwrap_or(QUEUE)
    }

    /// The longest sequence to serve, for a model whose own limit is `limit` tokens.
    ///
    /// # Errors
    /// [`LoadError::ContextTooLong`] or [`LoadError::ContextTooShort`].
    pub(crate) fn context(&self, limit: usize, least: usize) -> Result<usize, LoadError> {
        match self.max_model_len {
            None => Ok(limit),
            Some(asked) if asked > limit => Err(LoadError::ContextTooLong { asked, limit }),
            Some(asked) if asked < least => Err(LoadError::ContextTooShort { asked, least }),
            Some(asked) => Ok(asked),
        }
    }
}
