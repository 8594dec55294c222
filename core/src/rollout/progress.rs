//! What begins the rollout of the wanted revision, what ends it, and what it goes back to. The
//! strategies read it and tell what they have reached.

use std::time::Duration;

use chandler_crds::spec::OnFailure;
use jiff::Timestamp;

use super::memory::{End, RolloutMemory, Stage};
use super::{all_to, answers, places, shadow, traffic};
use crate::decide::{Decision, after};
use crate::memory::{Memory, RevisionMemory, blocker};
use crate::snapshot::Snapshot;
use crate::validate::{TakeOver, Validated};
use crate::why::Why;

/// Reason of a rollout that went through.
const COMPLETED: &str = "Completed";
/// Reason of one that a person took back.
const ABORTED: &str = "Aborted";
/// Reason of one whose traffic did not keep its limits.
const ANALYSIS_FAILED: &str = "AnalysisFailed";
/// Reason of one that answered live prompts otherwise, asked aside.
const SHADOW_FAILED: &str = "ShadowFailed";
/// Reason of one whose answers were not good enough.
const EVALUATION_FAILED: &str = "EvaluationFailed";
/// Reason of one whose step took too long.
const TOO_LATE: &str = "ProgressDeadlineExceeded";

/// The rollout of the wanted revision.
pub(crate) fn of<'a>(spec: &Validated, memory: &'a Memory) -> Option<&'a RolloutMemory> {
    let rollout = memory.rollout.as_ref();
    rollout.filter(|rollout| rollout.revision == spec.revision)
}

/// Notes the rollout of the wanted revision, if it is another than before, or is to be tried again.
pub(crate) fn begin(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    let memory = &mut decision.memory;
    let from = base(spec, seen, memory);
    let known = memory.revisions.entry(spec.revision.clone());
    let known = known.or_insert_with(|| RevisionMemory::new(now));
    known.template = Some((*spec.template).clone());
    let is_first = memory.rollout.is_none();
    let before = memory.rollout.as_mut();
    let same = before.filter(|before| before.revision == spec.revision);
    if let Some(same) = same {
        let again = spec.rollout.promote.as_ref() == Some(&spec.revision)
            || same.policy != spec.rollout.hash;
        if same.failed().is_none() || !again {
            return follow(spec, seen, now, same);
        }
    }
    known.rejected = None;
    let before = memory.rollout.as_ref().filter(|it| it.is_open());
    let in_place = before.and_then(RolloutMemory::in_place).copied();
    if !is_first && !seen.revisions.contains_key(&spec.revision) {
        // What was long ago says nothing of replicas to come.
        known.created_at = now;
        known.answered_at = None;
        known.failure = None;
    }
    let rollout = RolloutMemory::new(spec, from, now);
    let plan = in_place.filter(|_| spec.rollout.strategy != TakeOver::Recreate);
    memory.rollout = Some(RolloutMemory {
        plan: plan.map(places::inherited),
        ..rollout
    });
}

/// Another policy than it began with: the step whose weight it has is the one that it is at, from
/// its start.
fn follow(spec: &Validated, seen: &Snapshot, now: Timestamp, rollout: &mut RolloutMemory) {
    if rollout.policy == spec.rollout.hash || !rollout.is_open() {
        return;
    }
    rollout.policy.clone_from(&spec.rollout.hash);
    rollout.answers = None;
    go_back(spec, seen, now, rollout);
}

/// Begins the step anew whose weight the revision has.
pub(super) fn go_back(
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
    rollout: &mut RolloutMemory,
) {
    let weight = seen.weight(&spec.revision);
    let reached = (1..=spec.rollout.last_step()).filter(|it| spec.rollout.weight(*it) <= weight);
    rollout.enter(reached.max().unwrap_or(rollout.step.min(1)), now);
}

/// What the wanted revision takes over from. One that another revision was to take over from and
/// has not is still the one that is known to be good; going back to itself is no rollout.
fn base(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Option<String> {
    let before = memory.rollout.as_ref();
    let unfinished = before.filter(|it| !it.is_complete());
    let good = unfinished.and_then(|it| it.from.as_ref());
    if good == Some(&spec.revision) {
        return None;
    }
    let others = seen.weights.iter();
    let others = others.filter(|(name, weight)| **name != spec.revision && **weight > 0);
    let heaviest = others.max_by_key(|(_, weight)| **weight);
    let from = good.or(heaviest.map(|(name, _)| name))?;
    restored(spec, from, memory).map(|_| from.clone())
}

/// The same wishes, for a revision that is remembered well enough to be made again.
#[must_use]
pub fn restored(spec: &Validated, revision: &str, memory: &Memory) -> Option<Validated> {
    let known = memory.revisions.get(revision)?;
    let template = known.template.as_ref().filter(|_| known.is_restorable());
    spec.with_revision(revision, template?)
}

/// Time that a revision's replicas have from the order to stop, as it was made.
pub(crate) fn drain(spec: &Validated, revision: &str, memory: &Memory) -> Duration {
    let made = restored(spec, revision, memory);
    made.as_ref().unwrap_or(spec).worker.drain()
}

/// What is to be instead of a revision that failed: the one before it.
#[must_use]
pub fn fallback(spec: &Validated, memory: &Memory) -> Option<Validated> {
    let rollout = of(spec, memory)?;
    rollout.failed()?;
    let taken_back = spec.rollout.on_failure == OnFailure::Rollback
        || spec.rollout.abort.as_ref() == Some(&spec.revision);
    let from = rollout.from.as_ref().filter(|_| taken_back)?;
    restored(spec, from, memory)
}

/// The revision whose rollout failed, if the last one did: what it bears is to be borne without it.
pub(crate) fn failed(memory: &Memory) -> Option<&str> {
    let rollout = memory.rollout.as_ref()?;
    rollout.failed().map(|_| rollout.revision.as_str())
}

/// Tells that a revision has given way.
pub(crate) fn tell_fallback(spec: &Validated, before: &Validated, decision: &mut Decision) {
    let end = of(spec, &decision.memory).and_then(RolloutMemory::failed);
    let message = end.map(|end| end.message.clone()).unwrap_or_default();
    decision.why.push(Why::RolledBack {
        revision: spec.revision.clone(),
        to: before.revision.clone(),
        message,
    });
}

/// Stops the clock of a rollout: what is paused is not late.
pub(crate) fn pause(spec: &Validated, memory: &mut Memory) {
    let rollout = memory.rollout.as_mut();
    let open = rollout.filter(|it| it.revision == spec.revision && it.is_open());
    if let Some(rollout) = open {
        rollout.stage = Stage::Paused;
        rollout.held_since = None;
    }
}

/// Ends the rollout if it is over, and lets it rest or go on as a person asks.
pub(crate) fn judge(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let policy = &spec.rollout;
    let named = |name: &Option<String>| name.as_ref() == Some(&spec.revision);
    let open = of(spec, &decision.memory).filter(|it| it.is_open());
    let Some(from) = open.map(|it| it.from.clone()) else {
        return;
    };
    let base = from.and_then(|from| restored(spec, &from, &decision.memory));
    let has_base = base.is_some();
    if seen.weights == all_to(&spec.revision) {
        return complete(spec, now, &mut decision.memory);
    }
    if named(&policy.abort) && has_base {
        let message = format!("revision {} was taken back by hand", spec.revision);
        return fail(spec, ABORTED, message, now, &mut decision.memory);
    }
    let waits = policy.paused || is_rival_away(spec, seen, &decision.memory);
    if waits && !named(&policy.promote) {
        return pause(spec, &mut decision.memory);
    }
    resume(now, &mut decision.memory);
    if !has_base || wanted == 0 || named(&policy.promote) {
        return;
    }
    if let Some(message) = traffic::failure(spec, seen, &decision.memory) {
        traffic::keep(spec, seen, now, &mut decision.memory);
        let is_first = of(spec, &decision.memory).is_some_and(|it| it.step == 0);
        let reason = if is_first {
            SHADOW_FAILED
        } else {
            ANALYSIS_FAILED
        };
        return fail(spec, reason, message, now, &mut decision.memory);
    }
    if let Some(message) = answers::failure(spec, &decision.memory) {
        return fail(spec, EVALUATION_FAILED, message, now, &mut decision.memory);
    }
    match due(spec, &decision.memory) {
        Some(due) if due <= now => {
            let message = late(spec, seen, &decision.memory);
            traffic::keep(spec, seen, now, &mut decision.memory);
            fail(spec, TOO_LATE, message, now, &mut decision.memory);
        }
        Some(due) => decision.wake(due),
        None => {}
    }
}

/// Whether what the revision shares the traffic with has no ready replica just now: nothing can be
/// compared, which is no fault of the new one.
fn is_rival_away(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let steps = 1..spec.rollout.last_step();
    let rollout = of(spec, memory).filter(|it| steps.contains(&it.step));
    let rival = rollout.and_then(|_| rival(spec, seen, memory));
    rival.is_some_and(|rival| seen.ready(rival) == 0)
}

/// The step begins anew: what it was to show was not watched meanwhile.
fn resume(now: Timestamp, memory: &mut Memory) {
    if let Some(rollout) = &mut memory.rollout
        && rollout.stage == Stage::Paused
    {
        rollout.stage = Stage::Progressing;
        let step = rollout.step;
        rollout.enter(step, now);
    }
}

/// Ends it well.
pub(super) fn complete(spec: &Validated, now: Timestamp, memory: &mut Memory) {
    let last = spec.rollout.last_step();
    let rollout = memory.rollout.as_mut();
    let open = rollout.filter(|it| it.revision == spec.revision && it.is_open());
    if let Some(rollout) = open {
        rollout.enter(last, now);
        let message = format!("revision {} has taken over", spec.revision);
        rollout.stage = Stage::Completed(End::new(now, COMPLETED, message));
    }
}

/// Ends it badly.
fn fail(spec: &Validated, reason: &str, message: String, now: Timestamp, memory: &mut Memory) {
    let end = End::new(now, reason, message);
    if let Some(rollout) = &mut memory.rollout {
        rollout.stage = Stage::Failed(end.clone());
        rollout.held_since = None;
    }
    if let Some(known) = memory.revisions.get_mut(&spec.revision) {
        known.rejected = Some(end);
    }
}

/// When the step that it is at is late. A revision that waits for its first step was not asked
/// for anything while it had no replicas.
fn due(spec: &Validated, memory: &Memory) -> Option<Timestamp> {
    let rollout = of(spec, memory)?;
    let known = memory.revisions.get(&spec.revision)?;
    let began = match rollout.step {
        0 => rollout.step_began_at.max(known.created_at),
        _ => rollout.step_began_at,
    };
    let hold = spec.rollout.hold(rollout.step);
    Some(after(after(began, hold), spec.rollout.progress_deadline))
}

/// What was waited for too long, and what held it up as far as that is known.
fn late(spec: &Validated, seen: &Snapshot, memory: &Memory) -> String {
    let policy = &spec.rollout;
    let revision = &spec.revision;
    let step = of(spec, memory).map_or(0, |it| it.step);
    let seconds = policy.progress_deadline.as_secs();
    let has_answered = |known: &RevisionMemory| known.answered_at.is_some();
    let has_answered = memory.revisions.get(revision).is_some_and(has_answered);
    let unjudged = has_answered && !answers::are_good(spec, seen, memory);
    let unshown = has_answered && !unjudged && !shadow::is_passed(spec, seen, memory);
    let mut message = match step {
        0 if unjudged => {
            format!("revision {revision} was not found to answer well within {seconds} s")
        }
        0 if unshown => {
            format!("revision {revision} was not found to answer alike within {seconds} s")
        }
        0 => format!("revision {revision} was not ready within {seconds} s"),
        step => format!(
            "revision {revision} did not pass step {step} of {} within its hold and {seconds} s",
            policy.last_step()
        ),
    };
    let known = memory.revisions.get(revision);
    if let Some(blocker) = blocker(known, seen.revisions.get(revision)) {
        message = format!("{message}: {}: {}", blocker.reason, blocker.message);
    } else if unjudged {
        message = format!("{message}: {}", answers::missing(spec, memory));
    } else if step > 0 || unshown {
        let missing = traffic::missing(spec, seen, memory);
        let colon = if missing.is_empty() { "" } else { ": " };
        message = format!("{message}{colon}{missing}");
    }
    message
}

/// The revision that this one takes over from, while traffic is still with it.
pub(crate) fn rival<'a>(spec: &Validated, seen: &Snapshot, memory: &'a Memory) -> Option<&'a str> {
    let from = of(spec, memory)?.from.as_deref()?;
    let bears = seen.weight(from) > 0 && seen.revisions.contains_key(from);
    (bears && restored(spec, from, memory).is_some()).then_some(from)
}

/// Why the rollout does not go on, if it is held up by a person or waits for one. One that takes
/// over from nothing has nothing to wait for.
pub(super) fn halted(spec: &Validated, seen: &Snapshot, decision: &Decision) -> Option<Why> {
    let memory = &decision.memory;
    let rollout = of(spec, memory).filter(|_| rival(spec, seen, memory).is_some())?;
    let revision = spec.revision.clone();
    match &rollout.stage {
        Stage::Paused => Some(Why::RolloutPaused { revision }),
        Stage::Failed(end) => Some(Why::RolloutHeld {
            revision,
            message: end.message.clone(),
        }),
        Stage::Progressing | Stage::Completed(_) => None,
    }
}
