//! What keeps a measurement from being made, and what to do about it.

use std::io;
use std::path::PathBuf;

use chandler_crds::names::paths;
use chandler_sim::traffic::ModelError;
use chandler_sim::traffic::trace::TraceError;

use super::fit::FitError;
use crate::openai::ServerError;

/// Why there is no measurement, or no answer to one request of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("{url} tells no `usage` in its answers, without which tokens can't be counted")]
    NoUsage { url: String },
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
}

impl Fault {
    /// A word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Server(error) => error.reason(),
            Self::NoUsage { .. } => "UsageMissing",
            Self::NoMetrics { .. } => "MetricsMissing",
            Self::NotAlone { .. } => "NotAlone",
            Self::TooLong { .. } => "PromptTooLong",
            Self::NothingAnswered { first, .. } => first.reason(),
            Self::Fit(error) => error.reason(),
            Self::Unreadable { .. } => "FileUnreadable",
            Self::Unwritable { .. } => "FileUnwritable",
            Self::Trace { error, .. } => error.fault.reason(),
            Self::Model { error, .. } => error.reason(),
        }
    }
}
