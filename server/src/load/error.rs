//! What can be wrong with a model, each with a reason for machines and advice for people.

use std::path::PathBuf;

use super::options::Task;
use super::template::TemplateError;

/// Why a model could not be loaded. All of these are permanent: the same files and options fail
/// again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No weights among the files, or a file that an index names is absent.
    #[error(
        "no weights found: {0}; a model needs `config.json` with `*.safetensors`, or one `*.gguf` file"
    )]
    WeightsMissing(String),
    /// A weights file is shorter than its own header says.
    #[error(
        "weights file `{file}` is truncated: {what} ends at byte {needed}, the file has {actual}; fetch it again"
    )]
    WeightsTruncated {
        /// File name.
        file: String,
        /// The part of the file that is cut off.
        what: String,
        /// Bytes that the file would have to have.
        needed: u64,
        /// Bytes that it has.
        actual: u64,
    },
    /// A weights file that is no such file, or whose tensors do not fit its configuration.
    #[error("weights file `{file}` is malformed: {problem}")]
    WeightsInvalid {
        /// File name.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A model family that this server cannot run.
    #[error("architecture `{found}` is not supported; this server runs {}", .known.join(", "))]
    UnknownArchitecture {
        /// What the model calls itself.
        found: String,
        /// What this server knows, with the file format.
        known: Vec<&'static str>,
    },
    /// A configuration file, or the metadata of a GGUF file, that cannot be used.
    #[error("model configuration `{file}` cannot be used: {problem}")]
    ConfigInvalid {
        /// File name.
        file: String,
        /// What is wrong and what would work.
        problem: String,
    },
    /// A tokenizer that is absent, malformed or of an unknown kind.
    #[error("tokenizer of `{file}` cannot be used: {problem}")]
    TokenizerInvalid {
        /// File name.
        file: String,
        /// What is wrong and what would work.
        problem: String,
    },
    /// A chat template that does not compile.
    #[error("chat template of `{file}` cannot be used: {error}")]
    TemplateInvalid {
        /// File name.
        file: String,
        /// What the template engine says.
        error: TemplateError,
    },
    /// More memory needed than there is.
    #[error(
        "the model needs {needed_mib} MiB ({weights_mib} MiB of weights, {cache_mib} MiB of key-value cache for {context} tokens, {rest_mib} MiB to compute and to answer), {available_mib} MiB are available; {advice}"
    )]
    OutOfMemory {
        /// All together, MiB.
        needed_mib: u64,
        /// Weights, MiB.
        weights_mib: u64,
        /// Key-value cache, MiB.
        cache_mib: u64,
        /// What a step, requests and the process itself take, MiB.
        rest_mib: u64,
        /// Tokens that the cache would hold.
        context: usize,
        /// What this process may use, MiB.
        available_mib: u64,
        /// What to write instead.
        advice: String,
    },
    /// A device that this build or this machine does not have.
    #[error("device `{device}` is not available: {problem}; write `auto` or `cpu`")]
    DeviceUnavailable {
        /// What was asked for.
        device: &'static str,
        /// Why it cannot be had.
        problem: String,
    },
    /// A number format that this model or device cannot compute in.
    #[error("dtype `{dtype}` cannot be used: {problem}; write `{instead}`")]
    DtypeUnsupported {
        /// What was asked for.
        dtype: &'static str,
        /// Why it cannot be had.
        problem: &'static str,
        /// What to write.
        instead: &'static str,
    },
    /// A task that this model cannot do.
    #[error("the model cannot do task `{asked}`: {problem}; it can do {}", join_tasks(.can))]
    TaskMismatch {
        /// What was asked for.
        asked: Task,
        /// Why not.
        problem: &'static str,
        /// What the model can do.
        can: Vec<Task>,
    },
    /// A longer context asked for than the model was trained on.
    #[error("maxModelLen {asked} is over the model's own limit; write at most {limit}")]
    ContextTooLong {
        /// Tokens asked for.
        asked: usize,
        /// Tokens that the model can take.
        limit: usize,
    },
    /// A shorter context asked for than any request needs.
    #[error("maxModelLen {asked} is too short to serve anything; write at least {least}")]
    ContextTooShort {
        /// Tokens asked for.
        asked: usize,
        /// The least that makes sense.
        least: usize,
    },
    /// A file that could not be read.
    #[error("cannot read `{}`: {error}", .path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl LoadError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WeightsMissing(_) => "WeightsMissing",
            Self::WeightsTruncated { .. } => "WeightsTruncated",
            Self::WeightsInvalid { .. } => "WeightsInvalid",
            Self::UnknownArchitecture { .. } => "UnknownArchitecture",
            Self::ConfigInvalid { .. } => "ConfigInvalid",
            Self::TokenizerInvalid { .. } => "TokenizerInvalid",
            Self::TemplateInvalid { .. } => "TemplateInvalid",
            Self::OutOfMemory { .. } => "OutOfMemory",
            Self::DeviceUnavailable { .. } => "DeviceUnavailable",
            Self::DtypeUnsupported { .. } => "DtypeUnsupported",
            Self::TaskMismatch { .. } => "TaskMismatch",
            Self::ContextTooLong { .. } => "ContextTooLong",
            Self::ContextTooShort { .. } => "ContextTooShort",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    pub(crate) fn config(file: &str, problem: impl Into<String>) -> Self {
        Self::ConfigInvalid {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn weights(file: &str, problem: impl Into<String>) -> Self {
        Self::WeightsInvalid {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn tokenizer(file: &str, problem: impl Into<String>) -> Self {
        Self::TokenizerInvalid {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }
}

fn join_tasks(tasks: &[Task]) -> String {
    let names: Vec<_> = tasks.iter().map(ToString::to_string).collect();
    names.join(", ")
}
