//! What keeps a measurement from being made, and what to do about it.

use std::io;
use std::path::PathBuf;

use chandler_crds::names::{api, env, paths};
use chandler_sim::traffic::ModelError;
use chandler_sim::traffic::trace::TraceError;

use super::fit::FitError;

/// Why there is no measurement, or no answer to one request of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot reach {url}: {problem}; is the server running, and is this its address?")]
    Unreachable { url: String, problem: String },
    #[error(
        "{url} wants an API key: give one by the variable {} or by --api-key",
        env::API_KEY
    )]
    NoKey { url: String },
    #[error("{url} refuses the API key ({status}): {told}; give one that may use the model")]
    KeyRefused {
        url: String,
        status: u16,
        told: String,
    },
    #[error(
        "{url} is busy (429): {told}; measure while nobody else asks it, or with a key without limits"
    )]
    Busy { url: String, told: String },
    #[error("{url} fails ({status}): {told}; look into the server's log")]
    Failing {
        url: String,
        status: u16,
        told: String,
    },
    #[error("{url} refuses a request ({status}): {told}")]
    Refused {
        url: String,
        status: u16,
        told: String,
    },
    #[error("{url} broke off an answer: {problem}")]
    Broken { url: String, problem: String },
    #[error("{url} tells no `usage` in its answers, without which tokens can't be counted")]
    NoUsage { url: String },
    #[error(
        "{url}: {} lists no models; give the base address of a server of OpenAI's API",
        api::MODELS
    )]
    NoModels { url: String },
    #[error("several models are served; choose one by --model: {}", known.join(", "))]
    SeveralModels { known: Vec<String> },
    #[error("model `{asked}` is not served; these are: {}", known.join(", "))]
    UnknownModel { asked: String, known: Vec<String> },
    #[error(
        "{url}{} does not tell what a replica measures ({problem}): give the address of a replica \
         itself, not of a gateway. A trace can be replayed without it: give --trace and --replica-model",
        paths::METRICS
    )]
    NoMetrics { url: String, problem: String },
    #[error(
        "{ended} requests ended while {sent} were sent: somebody else asks this replica; measure one \
         that nobody else asks"
    )]
    NotAlone { sent: usize, ended: usize },
    #[error(
        "no prompt is short enough for the model: even one of {tokens} tokens is refused: {told}"
    )]
    TooLong { tokens: u32, told: String },
    #[error("none of {count} requests was answered: {first}")]
    NothingAnswered { count: usize, first: Box<Fault> },
    #[error(transparent)]
    Fit(#[from] FitError),
    #[error("{}: {error}; give the path of a file", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Trace { path: PathBuf, error: TraceError },
    #[error("{}: {error}", path.display())]
    Model { path: PathBuf, error: ModelError },
    #[error("cannot speak HTTP: {0}")]
    Client(String),
}

impl Fault {
    /// A word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::NoKey { .. } => "ApiKeyMissing",
            Self::KeyRefused { .. } => "ApiKeyRefused",
            Self::Busy { .. } => "Busy",
            Self::Failing { .. } => "ServerFailed",
            Self::Refused { .. } => "RequestRefused",
            Self::Broken { .. } => "AnswerBroken",
            Self::NoUsage { .. } => "UsageMissing",
            Self::NoModels { .. } => "ModelsMissing",
            Self::SeveralModels { .. } => "ModelAmbiguous",
            Self::UnknownModel { .. } => "ModelUnknown",
            Self::NoMetrics { .. } => "MetricsMissing",
            Self::NotAlone { .. } => "NotAlone",
            Self::TooLong { .. } => "PromptTooLong",
            Self::NothingAnswered { first, .. } => first.reason(),
            Self::Fit(error) => error.reason(),
            Self::Unreadable { .. } => "FileUnreadable",
            Self::Unwritable { .. } => "FileUnwritable",
            Self::Trace { error, .. } => error.fault.reason(),
            Self::Model { error, .. } => error.reason(),
            Self::Client(_) => "ClientFailed",
        }
    }

    /// What an answer that is no success says.
    pub(super) fn of_status(url: &str, status: u16, told: String, has_key: bool) -> Self {
        let url = url.to_owned();
        match status {
            401 if !has_key => Self::NoKey { url },
            401 | 403 => Self::KeyRefused { url, status, told },
            429 => Self::Busy { url, told },
            500.. => Self::Failing { url, status, told },
            _ => Self::Refused { url, status, told },
        }
    }
}
