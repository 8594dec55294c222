//! What a restart must not forget. It is read from `.status` and written back there; nothing of
//! it hides in a process.

use std::collections::BTreeMap;

use chandler_crds::ModelLock;
use chandler_crds::status::{ModelDeploymentStatus, RevisionFailure, RevisionStatus, StartupTimes};
use jiff::Timestamp;

/// What is remembered of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// By name.
    pub revisions: BTreeMap<String, RevisionMemory>,
}

/// What is remembered of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionMemory {
    /// When it was first wanted with replicas.
    pub created_at: Timestamp,
    /// The digests of its files.
    pub lock: Option<ModelLock>,
    /// When it first answered a probe.
    pub answered_at: Option<Timestamp>,
    /// How long its first replica took until that answer.
    pub startup: Option<StartupTimes>,
    /// Since when it has had no traffic and is on its way out.
    pub draining_since: Option<Timestamp>,
    /// The failed step that is waited on.
    pub failure: Option<FailureMemory>,
}

/// A failed step and how often it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureMemory {
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Failures in a row.
    pub attempts: u32,
    /// When the last one was.
    pub at: Timestamp,
    /// Whether trying again can help without a change by a person.
    pub transient: bool,
}

impl RevisionMemory {
    /// A revision first wanted at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            created_at: now,
            lock: None,
            answered_at: None,
            startup: None,
            draining_since: None,
            failure: None,
        }
    }
}

impl Memory {
    /// What `.status` tells.
    #[must_use]
    pub fn from_status(status: Option<&ModelDeploymentStatus>) -> Self {
        let revisions = status.into_iter().flat_map(|status| &status.revisions);
        Self {
            revisions: revisions
                .map(|seen| (seen.name.clone(), remembered(seen)))
                .collect(),
        }
    }
}

fn remembered(status: &RevisionStatus) -> RevisionMemory {
    RevisionMemory {
        created_at: status.created_at.0,
        lock: status.lock.clone(),
        answered_at: status.answered_at.as_ref().map(|time| time.0),
        startup: status.startup,
        draining_since: status.draining_since.as_ref().map(|time| time.0),
        failure: status.failure.as_ref().map(failure),
    }
}

fn failure(wire: &RevisionFailure) -> FailureMemory {
    FailureMemory {
        reason: wire.reason.clone(),
        message: wire.message.clone(),
        attempts: u32::try_from(wire.attempts).unwrap_or(0),
        at: wire.at.0,
        transient: wire.transient,
    }
}
