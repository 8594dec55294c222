//! Why a server gives no answer, and what to do about it.

use std::time::Duration;

use chandler_crds::names::{api, env};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
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
        "{url} is busy (429): {told}; try while nobody else asks it, or with a key without limits"
    )]
    Busy {
        url: String,
        told: String,
        /// When to come back, if it said so.
        wait: Option<Duration>,
    },
    #[error("{url} fails ({status}): {told}; look into the server's log")]
    Failing {
        url: String,
        status: u16,
        told: String,
        /// When to come back, if it said so.
        wait: Option<Duration>,
    },
    #[error("{url} refuses a request ({status}): {told}")]
    Refused {
        url: String,
        status: u16,
        told: String,
    },
    #[error("{url} broke off an answer: {problem}")]
    Broken { url: String, problem: String },
    #[error("{url} gave no whole answer in time; it may need longer, or be asked for less")]
    Late { url: String },
    #[error(
        "{url}: {} lists no models; give the base address of a server of OpenAI's API",
        api::MODELS
    )]
    NoModels { url: String },
    #[error("several models are served; choose one by --model: {}", known.join(", "))]
    SeveralModels { known: Vec<String> },
    #[error("model `{asked}` is not served; these are: {}", known.join(", "))]
    UnknownModel { asked: String, known: Vec<String> },
    #[error("cannot speak HTTP: {0}")]
    Client(String),
}

impl ServerError {
    /// A word for programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::NoKey { .. } => "ApiKeyMissing",
            Self::KeyRefused { .. } => "ApiKeyRefused",
            Self::Busy { .. } => "Busy",
            Self::Failing { .. } => "ServerFailed",
            Self::Refused { .. } => "RequestRefused",
            Self::Broken { .. } => "AnswerBroken",
            Self::Late { .. } => "AnswerLate",
            Self::NoModels { .. } => "ModelsMissing",
            Self::SeveralModels { .. } => "ModelAmbiguous",
            Self::UnknownModel { .. } => "ModelUnknown",
            Self::Client(_) => "ClientFailed",
        }
    }

    /// Whether asking again can help without a change by a person.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Busy { .. }
                | Self::Failing { .. }
                | Self::Broken { .. }
                | Self::Late { .. }
                | Self::NoModels { .. }
        )
    }

    /// How long to wait before the same is asked again; `None` where that is of no use.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. }
            | Self::Failing {
                status: 503, wait, ..
            } => *wait,
            _ => None,
        }
    }
}
