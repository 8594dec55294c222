//! The port to a world: a cluster, this machine, or a simulation. A world observes and performs;
//! it chooses nothing.

use std::fmt;
use std::future::Future;

use chandler_crds::ModelLock;
use chandler_crds::status::{EvaluationStatus, StartupTimes};

use crate::analysis::Question;
use crate::decide::Action;
use crate::snapshot::Snapshot;
use crate::validate::ModelKey;

/// Somewhere models are served.
pub trait World {
    /// What there is of one model. Its traffic is compared as `question` asks, from now on if that is
    /// another one than before, and not at all without one.
    fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> impl Future<Output = Result<Snapshot, Failure>> + Send;

    /// Does one thing, or tells why not. An action whose precondition no longer holds fails.
    fn perform(&mut self, key: &ModelKey, action: &Action) -> impl Future<Output = Outcome> + Send;
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// A [`Action::Resolve`] found these files.
    Resolved(ModelLock),
    /// A [`Action::Probe`] was answered by a replica that had started so.
    Answered(StartupTimes),
    /// A [`Action::Evaluate`] found the answers to be worth this.
    Evaluated(Vec<EvaluationStatus>),
    /// It is under way; the world tells of a change when it ends. Doing it again goes on with it.
    Pending {
        /// What holds it up just now, if anything does.
        blocked: Option<Failure>,
    },
    /// It was not done.
    Failed(Failure),
    /// It was not tried, since one before it failed.
    Skipped,
}

impl Outcome {
    /// Whether the action is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Done | Self::Resolved(_) | Self::Answered(_) | Self::Evaluated(_) => true,
            Self::Pending { .. } | Self::Failed(_) | Self::Skipped => false,
        }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// A word for programs, in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Whether trying again can help without a change by a person.
    pub transient: bool,
}

impl Failure {
    /// Nobody makes the vectors that an evaluation needs.
    #[must_use]
    pub fn no_vectors(model: &str) -> Self {
        Self {
            reason: "EmbeddingModelUnavailable".to_owned(),
            message: format!(
                "the evaluation needs vectors by the ModelDeployment `{model}` of this namespace, which has no ready replica"
            ),
            transient: true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
