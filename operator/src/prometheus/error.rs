//! Why a Prometheus server gave no samples. The texts stand behind "the Prometheus server at …" in a
//! model's status, so none has a part that differs each time.

use std::time::Duration;

use reqwest::StatusCode;

use super::credentials::CredentialsError;

/// Why there are no samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No connection, or one that broke.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("does not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It wants other credentials.
    #[error(
        "refuses the operator with {0}: put what it wants into the folder of --metrics-credentials"
    )]
    Refused(StatusCode),
    /// The API is at another address.
    #[error("sends elsewhere with {0}: write where its API is in --metrics")]
    Elsewhere(StatusCode),
    /// There is none.
    #[error("has no API there ({0}): write where it is in --metrics")]
    NoApi(StatusCode),
    /// Another status than that of an answer, with the text that came along.
    #[error("answers {status} {text:?}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The begin of the body.
        text: String,
    },
    /// It says that the query failed.
    #[error("can't answer a query ({kind}): {text}")]
    Failed {
        /// Its own word for that.
        kind: String,
        /// Its own words.
        text: String,
    },
    /// More bytes than are read.
    #[error("answers a query with more than {} MiB", .0 >> 20)]
    TooLong(usize),
    /// Something else than its API answers.
    #[error("answers what is not of its API: {0}")]
    Malformed(&'static str),
    /// There are no credentials to ask with.
    #[error("can't be asked: {0}")]
    Credentials(#[from] CredentialsError),
}

impl QueryError {
    /// The error as one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "Unreachable",
            Self::Late(_) => "Timeout",
            Self::Refused(_) => "Unauthorized",
            Self::Elsewhere(_) => "Redirected",
            Self::NoApi(_) => "NoApi",
            Self::Status { .. } => "UnexpectedStatus",
            Self::Failed { .. } => "QueryFailed",
            Self::TooLong(_) => "AnswerTooLong",
            Self::Malformed(_) => "MalformedAnswer",
            Self::Credentials(error) => error.reason(),
        }
    }
}
