//! The conditions, each from facts alone.

use chandler_crds::conditions::{ConditionType, Reason, Truth, TypedCondition};
use jiff::Timestamp;

use super::in_one_line;

use crate::decide::after;
use crate::memory::{FailureMemory, Memory, RevisionMemory, blocker};
use crate::rollout::{End, RolloutMemory, progress};
use crate::snapshot::{RevisionSeen, Snapshot};
use crate::validate::{Replicas, Validated};
use crate::why::Why;

/// What conditions are told from.
pub(super) struct Facts<'a> {
    pub(super) spec: &'a Validated,
    /// The same, or the one before it that the wanted revision gave way to.
    pub(super) pursued: &'a Validated,
    /// The world after what was done.
    pub(super) seen: &'a Snapshot,
    pub(super) memory: &'a Memory,
    /// Replicas that the wanted revision shall have, by the world after what was done.
    pub(super) wanted: u32,
    pub(super) why: &'a [Why],
    pub(super) now: Timestamp,
}

impl Facts<'_> {
    pub(super) fn conditions(&self) -> Vec<TypedCondition> {
        let mut all = vec![
            self.ready_condition(),
            self.reconciling(),
            self.stalled(),
            self.resolved(),
            self.capacity(),
        ];
        all.extend(self.answers());
        all.extend(self.scaling());
        all.extend(self.access());
        all
    }

    fn known(&self) -> Option<&RevisionMemory> {
        self.memory.revisions.get(&self.spec.revision)
    }

    fn there(&self) -> Option<&RevisionSeen> {
        self.seen.revisions.get(&self.pursued.revision)
    }

    /// Ready replicas of the revision that is pursued.
    pub(super) fn ready(&self) -> u32 {
        self.seen.ready(&self.pursued.revision)
    }

    /// How the wanted revision's rollout failed, if it did.
    fn failed(&self) -> Option<&End> {
        progress::of(self.spec, self.memory).and_then(RolloutMemory::failed)
    }

    fn answered(&self) -> bool {
        self.known()
            .is_some_and(|known| known.answered_at.is_some())
    }

    fn blocker(&self) -> Option<FailureMemory> {
        let known = self.memory.revisions.get(&self.pursued.revision);
        blocker(known, self.there())
    }

    /// When the rollout counts as failed, unless it has answered or nothing is asked of it.
    fn due(&self) -> Option<Timestamp> {
        let open = !self.answered() && self.wanted > 0 && !self.spec.paused;
        let known = self.known().filter(|_| open)?;
        Some(after(known.created_at, self.spec.rollout.progress_deadline))
    }

    /// When the rollout counts as failed, while that lies ahead.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due().filter(|due| *due > self.now)
    }

    fn overdue(&self) -> bool {
        self.due().is_some_and(|due| due <= self.now)
    }

    fn ready_condition(&self) -> TypedCondition {
        let (ready, wanted, revision) = (self.ready(), self.wanted, &self.spec.revision);
        let (truth, reason, message) = if let Some(end) = self.failed() {
            let reason = Reason::Reported(end.reason.clone());
            (Truth::False, reason, end.message.clone())
        } else if wanted == 0 {
            let message = match self.spec.replicas {
                Replicas::Fixed(_) => "no replica is wanted, so nothing answers",
                Replicas::Scaled { .. } => "asleep: the next request wakes it",
            };
            let message = message.to_owned();
            (
                if self.answered() {
                    Truth::True
                } else {
                    Truth::Unknown
                },
                Reason::ScaledToZero,
                message,
            )
        } else if self.answered() && ready > 0 && self.seen.weight(revision) == 100 {
            let message = format!("revision {revision} answers with {ready} of {wanted} replicas");
            (Truth::True, Reason::Answering, message)
        } else if let Some(failure) = self.blocker() {
            (
                Truth::False,
                Reason::Reported(failure.reason),
                failure.message,
            )
        } else if ready == 0 {
            (
                Truth::False,
                Reason::Starting,
                format!("revision {revision} has no ready replica of {wanted}"),
            )
        } else {
            (
                Truth::False,
                Reason::RollingOut,
                format!("revision {revision} does not have the traffic yet"),
            )
        };
        condition(ConditionType::Ready, truth, reason, &message)
    }

    /// Whether everything is as the spec says.
    fn settled(&self) -> bool {
        let exact = self
            .there()
            .is_some_and(|there| there.desired == self.wanted);
        let traffic = self.wanted == 0 || self.seen.weight(&self.pursued.revision) == 100;
        exact && traffic && self.seen.revisions.len() == 1 && self.ready() >= self.wanted
    }

    fn reconciling(&self) -> TypedCondition {
        let told = in_one_line(self.why);
        if self.spec.paused {
            return condition(
                ConditionType::Reconciling,
                Truth::False,
                Reason::Paused,
                &told,
            );
        }
        if self.failed().is_none() && self.settled() {
            return condition(
                ConditionType::Reconciling,
                Truth::False,
                Reason::Settled,
                &told,
            );
        }
        // kstatus takes the first of both that holds: what only a person can mend goes on by
        // itself no more, though it is still tried again now and then.
        let stalled = self.stalled();
        if stalled.truth == Truth::True {
            let TypedCondition {
                reason, message, ..
            } = stalled;
            return condition(ConditionType::Reconciling, Truth::False, reason, &message);
        }
        let reason = if self.known().is_none_or(|known| known.lock.is_none()) {
            Reason::Resolving
        } else if self.seen.revisions.len() > 1 || self.seen.weight(&self.spec.revision) < 100 {
            Reason::RollingOut
        } else {
            Reason::ReplicasMissing
        };
        condition(ConditionType::Reconciling, Truth::True, reason, &told)
    }

    fn stalled(&self) -> TypedCondition {
        let kind = ConditionType::Stalled;
        if let Some(end) = self.failed() {
            let reason = Reason::Reported(end.reason.clone());
            return condition(kind, Truth::True, reason, &end.message);
        }
        let blocker = self
            .blocker()
            .filter(|_| self.ready() < self.wanted || !self.answered());
        match blocker {
            Some(failure) if !failure.transient => condition(
                kind,
                Truth::True,
                Reason::Reported(failure.reason),
                &failure.message,
            ),
            _ if self.overdue() => {
                let seconds = self.spec.rollout.progress_deadline.as_secs();
                let message = format!(
                    "revision {} has not answered in {seconds} s",
                    self.spec.revision
                );
                condition(
                    kind,
                    Truth::True,
                    Reason::ProgressDeadlineExceeded,
                    &message,
                )
            }
            _ => condition(
                kind,
                Truth::False,
                Reason::Settled,
                "nothing needs a person",
            ),
        }
    }

    fn resolved(&self) -> TypedCondition {
        let kind = ConditionType::ModelResolved;
        let Some(known) = self.known() else {
            return condition(kind, Truth::Unknown, Reason::Resolving, "not resolved yet");
        };
        if let Some(lock) = &known.lock {
            let commit = lock
                .commit
                .as_deref()
                .map(|commit| format!(" at {commit}"))
                .unwrap_or_default();
            let message = format!(
                "{}{commit}: {} files, {} bytes",
                lock.source,
                lock.files.len(),
                lock.total_size()
            );
            return condition(kind, Truth::True, Reason::Resolved, &message);
        }
        match &known.failure {
            Some(failure) => condition(
                kind,
                Truth::False,
                Reason::Reported(failure.reason.clone()),
                &failure.message,
            ),
            None => condition(kind, Truth::Unknown, Reason::Resolving, "not resolved yet"),
        }
    }

    fn capacity(&self) -> TypedCondition {
        let kind = ConditionType::CapacityAvailable;
        let unschedulable = Reason::Unschedulable.to_string();
        let blocker = self
            .blocker()
            .filter(|failure| failure.reason == unschedulable);
        // A canary has fewer than all until it gets all the traffic.
        let desired = self.there().map_or(self.wanted, |there| there.desired);
        let (ready, wanted) = (self.ready(), self.wanted.min(desired));
        match blocker {
            Some(failure) if ready < wanted => {
                condition(kind, Truth::False, Reason::Unschedulable, &failure.message)
            }
            _ if ready >= wanted && self.there().is_some() => {
                let message = format!("there is room for {wanted} replicas");
                condition(kind, Truth::True, Reason::Settled, &message)
            }
            _ => condition(
                kind,
                Truth::Unknown,
                Reason::Starting,
                "not all replicas have started",
            ),
        }
    }
}

pub(super) fn condition(
    kind: ConditionType,
    truth: Truth,
    reason: Reason,
    message: &str,
) -> TypedCondition {
    TypedCondition {
        kind,
        truth,
        reason,
        message: message.to_owned(),
    }
}
