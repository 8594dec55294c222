//! What a restart must not forget. It is read from `.status` and written back there; nothing of
//! it hides in a process.

use std::collections::BTreeMap;

use chandler_crds::ModelLock;
use chandler_crds::status::{
    ModelDeploymentStatus, ReplicaCapacity, RevisionFailure, RevisionStatus, RevisionTemplate,
    ScalingDecision, ScalingStatus, ScalingWish, StartupTimes,
};
use jiff::Timestamp;

use crate::rollout::{End, RolloutMemory};
use crate::scale::{Capacity, Remembered, Wished};
use crate::snapshot::{FailureSeen, RevisionSeen};

/// What is remembered of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// By name.
    pub revisions: BTreeMap<String, RevisionMemory>,
    /// Since when fewer replicas would do.
    pub lows: Vec<Wished>,
    /// Since when more would be needed.
    pub highs: Vec<Wished>,
    /// The last changes of the count, oldest first.
    pub scalings: Vec<ScalingDecision>,
    /// How the last revision that was wanted takes over, or has.
    pub rollout: Option<RolloutMemory>,
}

/// What is remembered of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionMemory {
    /// When it was first wanted with replicas.
    pub created_at: Timestamp,
    /// What it was made from; `None` of one that an earlier version made.
    pub template: Option<RevisionTemplate>,
    /// The digests of its files.
    pub lock: Option<ModelLock>,
    /// When it first answered a probe.
    pub answered_at: Option<Timestamp>,
    /// How long its first replica took until that answer.
    pub startup: Option<StartupTimes>,
    /// What one of its replicas can do.
    pub capacity: Option<Capacity>,
    /// Since when it has had no traffic and is on its way out.
    pub draining_since: Option<Timestamp>,
    /// The failed step that is waited on.
    pub failure: Option<FailureMemory>,
    /// Why it was taken back, if its last rollout failed.
    pub rejected: Option<End>,
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
            template: None,
            lock: None,
            answered_at: None,
            startup: None,
            capacity: None,
            draining_since: None,
            failure: None,
            rejected: None,
        }
    }

    /// Whether it is known well enough to be made again, the very same.
    #[must_use]
    pub fn is_restorable(&self) -> bool {
        self.template.is_some() && self.lock.is_some()
    }

    /// Whether anyone could want to know of it once it is gone.
    fn is_worth_keeping(&self) -> bool {
        self.is_restorable() && (self.answered_at.is_some() || self.rejected.is_some())
    }
}

impl Memory {
    /// The digests of a revision's files, once they are known.
    #[must_use]
    pub fn lock(&self, revision: &str) -> Option<&ModelLock> {
        self.revisions.get(revision)?.lock.as_ref()
    }

    /// Forgets revisions that are neither `needed` nor among the `most` last ones that are worth keeping.
    pub(crate) fn forget(&mut self, most: usize, needed: impl Fn(&str) -> bool) {
        let past = self.revisions.iter().filter(|(name, _)| !needed(name));
        let past = past.filter(|(_, known)| known.is_worth_keeping());
        let mut past: Vec<_> = past
            .map(|(name, known)| (known.created_at, name.clone()))
            .collect();
        past.sort_unstable_by(|one, other| other.cmp(one));
        past.truncate(most);
        self.revisions
            .retain(|name, _| needed(name) || past.iter().any(|(_, kept)| kept == name));
    }

    /// Keeps what following the load of a revision has to remember.
    pub(crate) fn remember(&mut self, revision: &str, scaling: Remembered) {
        self.lows = scaling.lows;
        self.highs = scaling.highs;
        if let Some(known) = self.revisions.get_mut(revision) {
            known.capacity = scaling.capacity;
        }
    }

    /// What `.status` tells.
    #[must_use]
    pub fn from_status(status: Option<&ModelDeploymentStatus>) -> Self {
        let nothing = ScalingStatus::default();
        let scaling = status.and_then(|status| status.scaling.as_ref());
        let scaling = scaling.unwrap_or(&nothing);
        let revisions = status.into_iter().flat_map(|status| &status.revisions);
        Self {
            revisions: revisions
                .map(|seen| (seen.name.clone(), remembered(seen)))
                .collect(),
            lows: scaling.lows.iter().map(wished).collect(),
            highs: scaling.highs.iter().map(wished).collect(),
            scalings: scaling.decisions.clone(),
            rollout: status
                .and_then(|status| status.rollout.as_ref())
                .map(RolloutMemory::from_status),
        }
    }
}

fn remembered(status: &RevisionStatus) -> RevisionMemory {
    RevisionMemory {
        created_at: status.created_at.0,
        template: status.template.clone(),
        lock: status.lock.clone(),
        answered_at: status.answered_at.as_ref().map(|time| time.0),
        startup: status.startup,
        capacity: status.capacity.as_ref().and_then(capacity),
        draining_since: status.draining_since.as_ref().map(|time| time.0),
        failure: status.failure.as_ref().map(failure),
        rejected: status.rejected.as_ref().map(End::from_status),
    }
}

/// One that no replica can have was not written by us.
fn capacity(wire: &ReplicaCapacity) -> Option<Capacity> {
    let rates = [
        wire.prefill_tokens_per_second,
        wire.decode_tokens_per_second,
        wire.requests_per_second,
    ];
    let possible = rates.iter().all(|rate| rate.is_finite() && *rate > 0.0);
    possible.then(|| Capacity {
        prefill: rates[0],
        decode: rates[1],
        requests: rates[2],
        at: wire.learned_at.0,
        strained_at: wire.reached_at.as_ref().map(|time| time.0),
    })
}

fn wished(wire: &ScalingWish) -> Wished {
    Wished {
        since: wire.since.0,
        replicas: u32::try_from(wire.replicas).unwrap_or(0),
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

/// The failure that holds a revision up: a failed step of ours, else of its replicas.
pub(crate) fn blocker(
    known: Option<&RevisionMemory>,
    there: Option<&RevisionSeen>,
) -> Option<FailureMemory> {
    let step = known.and_then(|known| known.failure.clone());
    step.or_else(|| there.and_then(|there| there.failure.as_ref()).map(seen))
}

fn seen(failure: &FailureSeen) -> FailureMemory {
    FailureMemory {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        attempts: failure.attempts,
        at: failure.at,
        transient: failure.transient,
    }
}
