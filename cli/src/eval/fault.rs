//! What keeps a canary from being judged, and what to do about it.

use std::fmt;
use std::io;

use chandler_evaluation::compare::CompareError;
use chandler_evaluation::evidence::EvidenceError;
use chandler_evaluation::suite::SuiteError;

use crate::openai::ServerError;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Stable,
    Canary,
    Embeddings,
}

impl Role {
    /// The argument that names its model.
    fn flag(self) -> &'static str {
        match self {
            Self::Stable => "--stable-model",
            Self::Canary => "--canary-model",
            Self::Embeddings => "--embeddings-model",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "the stable revision",
            Self::Canary => "the canary",
            Self::Embeddings => "the embeddings server",
        })
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("klDivergence compares with the stable revision: give its address by --stable")]
    NoStable,
    #[error(
        "embeddingSimilarity needs a server that makes vectors: give its address by --embeddings"
    )]
    NoEmbeddings,
    #[error("{path}: {error}; give the path of a file, or - for standard input")]
    Unreadable { path: String, error: io::Error },
    #[error("{path}: {error}")]
    Suite { path: String, error: SuiteError },
    #[error("{role} serves several models; choose one by {}: {}", role.flag(), known.join(", "))]
    SeveralModels { role: Role, known: Vec<String> },
    #[error("{role}: {error}")]
    Server { role: Role, error: ServerError },
    #[error("item `{item}`: {role}: {error}")]
    Item {
        item: String,
        role: Role,
        error: ServerError,
    },
    #[error(
        "texts of the items `{first}` to `{last}`: {}: {error}",
        Role::Embeddings
    )]
    Texts {
        first: String,
        last: String,
        error: ServerError,
    },
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error("cannot write {path}: {error}")]
    Unwritable { path: String, error: io::Error },
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

impl Fault {
    /// Whether asking again can help without a change by a person.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Server { error, .. } | Self::Item { error, .. } | Self::Texts { error, .. } => {
                error.is_transient()
            }
            Self::Runtime(_) | Self::Unwritable { .. } => true,
            _ => false,
        }
    }

    /// A word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoStable => "StableMissing",
            Self::NoEmbeddings => "EmbeddingsMissing",
            Self::Unreadable { .. } => "FileUnreadable",
            Self::Suite { .. } => "SuiteInvalid",
            Self::SeveralModels { .. } => "ModelAmbiguous",
            Self::Server { error, .. } | Self::Item { error, .. } | Self::Texts { error, .. } => {
                error.reason()
            }
            Self::Evidence(_) => "EvidenceInvalid",
            Self::Compare(_) => "ComparisonInvalid",
            Self::Unwritable { .. } => "FileUnwritable",
            Self::Runtime(_) => "RuntimeFailed",
        }
    }
}
