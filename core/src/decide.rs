//! The decision: a pure function of the spec, of what is seen and of what is remembered. No
//! clock, no IO, no client; the same arguments give the same decision.

use std::time::Duration;

use chandler_crds::spec::Evaluation;
use jiff::Timestamp;

use crate::memory::{FailureMemory, Memory};
use crate::retry;
use crate::rollout::{self, places, progress};
use crate::scale;
use crate::snapshot::{Snapshot, Weights};
use crate::validate::Validated;
use crate::why::Why;
use crate::worker::WorkerSpec;

/// One thing to do. Nothing is left to be chosen by whoever does it, and each carries what must
/// still be so (`from`), so that a second doer does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Find out which files the revision's source stands for, and their digests.
    Resolve {
        /// The revision.
        revision: String,
        /// The source, as the spec has it.
        source: String,
        /// Branch, tag, commit or digest, as the spec has it.
        source_revision: Option<String>,
    },
    /// Make the revision exist with this many replicas. It must not exist yet.
    EnsureRevision {
        /// The revision.
        revision: String,
        /// What each replica runs.
        worker: Box<WorkerSpec>,
        /// How many.
        replicas: u32,
    },
    /// Change the count of a revision that exists.
    Scale {
        /// The revision.
        revision: String,
        /// The count it must have now.
        from: u32,
        /// The count it shall have.
        to: u32,
    },
    /// Make a revision that exists again what it was made as; its count is not touched.
    Mend {
        /// The revision.
        revision: String,
        /// What each replica runs.
        worker: Box<WorkerSpec>,
    },
    /// Ask one replica of the revision for an answer.
    Probe {
        /// The revision.
        revision: String,
    },
    /// Ask two revisions the questions of suites, and judge the answers of one.
    Evaluate {
        /// The revision that is judged.
        revision: String,
        /// The one that it is compared with.
        from: String,
        /// What is asked and what the answers must reach.
        evaluations: Vec<Evaluation>,
    },
    /// Spread traffic so.
    SetTraffic {
        /// Weights that must hold now.
        from: Weights,
        /// Weights that shall hold: 100 in all, or none.
        to: Weights,
    },
    /// Remove the revision and its replicas. It must have no traffic.
    Retire {
        /// The revision.
        revision: String,
    },
}

impl Action {
    /// How soon it may be tried again after a failure.
    pub(crate) fn backoff(&self) -> &'static retry::Backoff {
        match self {
            Self::Resolve { .. } | Self::Evaluate { .. } => &retry::RESOLVE,
            _ => &retry::PROBE,
        }
    }

    /// What it is called in logs, metrics and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "Resolve",
            Self::EnsureRevision { .. } => "EnsureRevision",
            Self::Scale { .. } => "Scale",
            Self::Mend { .. } => "Mend",
            Self::Probe { .. } => "Probe",
            Self::Evaluate { .. } => "Evaluate",
            Self::SetTraffic { .. } => "SetTraffic",
            Self::Retire { .. } => "Retire",
        }
    }

    /// The revision that is acted on, where it is a single one.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        match self {
            Self::Resolve { revision, .. }
            | Self::EnsureRevision { revision, .. }
            | Self::Scale { revision, .. }
            | Self::Mend { revision, .. }
            | Self::Probe { revision }
            | Self::Evaluate { revision, .. }
            | Self::Retire { revision } => Some(revision),
            Self::SetTraffic { .. } => None,
        }
    }
}

/// What to do, why, what to remember, and when to look again at the latest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// In this order.
    pub actions: Vec<Action>,
    /// To be remembered, before the actions' outcomes are known.
    pub memory: Memory,
    /// The reasons, with their numbers.
    pub why: Vec<Why>,
    /// Look again then, even if nothing is seen to change. `None` waits for a change.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    pub(crate) fn act(&mut self, action: Action, why: Why) {
        self.actions.push(action);
        self.why.push(why);
    }

    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }
}

/// How long ago that was; `None` if it is still to come, noted by a clock that has been set since.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(at)).ok()
}

/// `at + delay`, at most the end of time.
pub(crate) fn after(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// Decides the next moves towards the spec.
#[must_use]
pub fn decide(spec: &Validated, seen: &Snapshot, memory: &Memory, now: Timestamp) -> Decision {
    let mut decision = recall(Some(spec), seen, memory);
    if spec.paused {
        progress::pause(spec, &mut decision.memory);
        decision.why.push(Why::Paused);
        return decision;
    }
    progress::begin(spec, seen, now, &mut decision);
    let wanted = scale::wanted(spec, seen, &decision.memory, now).replicas;
    places::choose(spec, wanted, seen, now, &mut decision);
    progress::judge(spec, wanted, seen, now, &mut decision);
    match progress::fallback(spec, &decision.memory) {
        Some(before) => {
            progress::tell_fallback(spec, &before, &mut decision);
            pursue(&before, seen, now, &mut decision);
        }
        None => pursue(spec, seen, now, &mut decision),
    }
    decision
}

/// Plans the moves towards a revision: the wanted one, or the one before it that it gave way to.
fn pursue(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    if let Some(known) = decision.memory.revisions.get_mut(&spec.revision) {
        known.draining_since = None;
    }
    let wanted = scale::wanted(spec, seen, &decision.memory, now);
    if let Some((revision, remembered)) = wanted.remembered {
        decision.memory.remember(&revision, remembered);
    }
    decision.why.extend(wanted.why);
    if let Some(wait) = wanted.look_after {
        decision.wake(after(now, wait));
    }
    if decision.memory.lock(&spec.revision).is_some() {
        rollout::plan(spec, wanted.replicas, seen, now, decision);
    } else {
        resolve(spec, now, decision);
        rollout::retire_spent(spec, seen, now, decision);
    }
}

/// Decides the next moves of a model that is to be gone: traffic off, drained, retired.
#[must_use]
pub fn decide_removal(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
    now: Timestamp,
) -> Decision {
    let mut decision = recall(None, seen, memory);
    if seen.weights.is_empty() {
        for revision in seen.revisions.keys() {
            rollout::retire(revision, spec, seen, now, &mut decision);
        }
    } else {
        rollout::shut(seen, &mut decision);
    }
    decision
}

/// A decision to do nothing that remembers what still counts.
fn recall(spec: Option<&Validated>, seen: &Snapshot, memory: &Memory) -> Decision {
    let mut memory = memory.clone();
    let rollout = memory.rollout.clone();
    let unfinished = rollout.as_ref().filter(|rollout| !rollout.is_complete());
    let from = unfinished.and_then(|rollout| rollout.from.as_deref());
    // What is neither wanted nor there, nor gone back to, is history.
    memory.forget(spec.map_or(0, |spec| spec.history), |name| {
        spec.is_some_and(|spec| spec.revision == name)
            || from == Some(name)
            || seen.revisions.contains_key(name)
    });
    for (name, known) in &mut memory.revisions {
        // What has traffic does not drain, whatever was noted before a crash: its next drain
        // would be overdue as it begins.
        if seen.weight(name) > 0 {
            known.draining_since = None;
        }
    }
    Decision {
        memory,
        ..Decision::default()
    }
}

/// What a restart must not ask again is asked once: the lock decides every replica's files.
fn resolve(spec: &Validated, now: Timestamp, decision: &mut Decision) {
    let revision = spec.revision.clone();
    if let Some(until) = backoff_until(&retry::RESOLVE, &revision, decision, now) {
        let attempts = failures(&revision, decision);
        decision.why.push(Why::ResolveWaits {
            revision,
            attempts,
            until,
        });
        decision.wake(until);
        return;
    }
    let action = Action::Resolve {
        revision: revision.clone(),
        source: spec.worker.source().to_owned(),
        source_revision: spec.worker.source_revision().map(str::to_owned),
    };
    let why = Why::Resolve {
        revision,
        source: spec.worker.source().to_owned(),
    };
    decision.act(action, why);
}

pub(crate) fn failures(revision: &str, decision: &Decision) -> u32 {
    let remembered = decision.memory.revisions.get(revision);
    remembered
        .and_then(|known| known.failure.as_ref())
        .map_or(0, |failure| failure.attempts)
}

/// When a failed step may be tried again, if that is not yet. If the clock was set back since, nobody
/// knows how long ago that was: it is tried at once rather than an hour late.
pub(crate) fn backoff_until(
    backoff: &retry::Backoff,
    revision: &str,
    decision: &Decision,
    now: Timestamp,
) -> Option<Timestamp> {
    let failure = decision.memory.revisions.get(revision)?.failure.as_ref()?;
    let until = again_at(backoff, failure, revision);
    (until > now && failure.at <= now).then_some(until)
}

/// When to try again what failed so.
pub(crate) fn again_at(
    backoff: &retry::Backoff,
    failure: &FailureMemory,
    revision: &str,
) -> Timestamp {
    let delay = backoff.delay_after(failure.attempts, failure.transient, revision);
    after(failure.at, delay)
}
