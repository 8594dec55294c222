//! Why the cluster did not do or show what was asked.

use chandler_core::world::Failure;
use kube::core::Status;

/// Why something was not done or not seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// An object of someone else has a name that is needed.
    #[error(
        "{kind} `{name}` is not controlled by this ModelDeployment but by {holder}: delete it or rename this resource"
    )]
    NameTaken {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Who controls it, in words.
        holder: String,
    },
    /// What must be so is not so any more.
    #[error("{0}")]
    Conflict(String),
    /// Someone else wrote, made or deleted the object since it was looked at.
    #[error("could not {doing}, it has just changed: {told}")]
    Changed {
        /// What was tried.
        doing: String,
        /// What the server says.
        told: String,
    },
    /// The source is a folder of one machine.
    #[error(
        "`{source_text}` is a folder of one machine, which a pod doesn't see: put the files on a PersistentVolumeClaim and write pvc://claim/path"
    )]
    SourceOfOneMachine {
        /// The source.
        source_text: String,
    },
    /// A worker told why it failed, or its end tells it.
    #[error("{message}")]
    Worker {
        /// A word for programs.
        reason: String,
        /// A sentence for people.
        message: String,
        /// Whether trying again can help.
        transient: bool,
    },
    /// The operator lacks a right, or a policy or quota forbids it.
    #[error("the API server forbids to {doing}: {told}")]
    Forbidden {
        /// What was tried.
        doing: String,
        /// What the server says.
        told: String,
    },
    /// The API server finds the request wrong.
    #[error("the API server refuses to {doing}: {told}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the server says.
        told: String,
    },
    /// The API server has no time or an error of its own.
    #[error("the API server could not {doing}: {told}")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// What the server says.
        told: String,
    },
    /// No answer.
    #[error("no answer from the API server while trying to {doing}: {told}")]
    Unreachable {
        /// What was tried.
        doing: String,
        /// What the client says.
        told: String,
    },
}

impl WorldError {
    /// What became of `doing`, a verb and its object.
    pub(super) fn of_api(doing: String, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(doing, *status),
            kube::Error::SerdeError(error) => Self::Refused {
                doing,
                told: format!("its answer can't be read: {error}"),
            },
            other => Self::Unreachable {
                doing,
                told: other.to_string(),
            },
        }
    }

    fn of_status(doing: String, status: Status) -> Self {
        let told = status.message;
        match status.code {
            404 | 409 | 410 | 412 => Self::Changed { doing, told },
            401 | 403 => Self::Forbidden { doing, told },
            408 | 429 | 500.. => Self::Unavailable { doing, told },
            _ => Self::Refused { doing, told },
        }
    }

    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::NameTaken { .. } => "NameTaken",
            Self::Conflict(_) | Self::Changed { .. } => "Conflict",
            Self::SourceOfOneMachine { .. } => "SourceNotReachable",
            Self::Worker { reason, .. } => reason,
            Self::Forbidden { .. } => "ApiForbidden",
            Self::Refused { .. } => "ApiRefused",
            Self::Unavailable { .. } => "ApiUnavailable",
            Self::Unreachable { .. } => "ApiUnreachable",
        }
    }

    /// Whether trying again can help without a change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict(_)
            | Self::Changed { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. } => true,
            Self::NameTaken { .. }
            | Self::SourceOfOneMachine { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. } => false,
            Self::Worker { transient, .. } => *transient,
        }
    }
}

impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            transient: error.is_transient(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16) -> (String, bool) {
        let status = Status::failure("words", "Word").with_code(code).boxed();
        let error = WorldError::of_api("do it".to_owned(), kube::Error::Api(status));
        assert!(error.to_string().contains("words"), "{error}");
        (error.reason().to_owned(), error.is_transient())
    }

    #[test]
    fn codes_tell_the_reason_and_whether_to_try_again() {
        assert_eq!(told(404), ("Conflict".to_owned(), true));
        assert_eq!(told(409), ("Conflict".to_owned(), true));
        assert_eq!(told(403), ("ApiForbidden".to_owned(), false));
        assert_eq!(told(422), ("ApiRefused".to_owned(), false));
        assert_eq!(told(429), ("ApiUnavailable".to_owned(), true));
        assert_eq!(told(503), ("ApiUnavailable".to_owned(), true));
    }
}
