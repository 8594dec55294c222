//! Traffic by weight in steps. The new revision has as many replicas as its weight needs, and the
//! old one keeps all of its own until the end: it can take everything back at any moment.

use jiff::Timestamp;

use super::progress::{self, halted};
use super::{
    answered, blue_green, ensure, is_proven, proven, retire, spread, tell_missing, traffic,
};
use crate::decide::{Decision, after};
use crate::memory::Memory;
use crate::snapshot::{Snapshot, Weights};
use crate::validate::Validated;
use crate::why::Why;

pub(super) fn plan(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    if wanted == 0 {
        return blue_green::plan(spec, wanted, seen, now, decision);
    }
    let base = match base(spec, seen, &decision.memory) {
        Ok(base) => base,
        Err(why) => {
            decision.why.extend(why);
            return blue_green::plan(spec, wanted, seen, now, decision);
        }
    };
    let needed = |step: u32| replicas(spec.rollout.weight(step.max(1)), wanted);
    let at = needed(step(spec, decision));
    advance(spec, &base, at, seen, now, decision);
    let step = step(spec, decision);
    if step >= spec.rollout.last_step() {
        return blue_green::plan(spec, wanted, seen, now, decision);
    }
    let needed = needed(step);
    let there = seen.revisions.get(&spec.revision);
    // More than it needs are not taken from it: the next step may need them.
    let there = there.map_or(0, |there| there.desired.max(there.ready));
    let count = there.clamp(needed, wanted);
    ensure(&base, wanted, seen, now, decision);
    ensure(spec, count, seen, now, decision);
    for other in seen.revisions.keys() {
        if *other != spec.revision && *other != base.revision {
            retire(other, spec, seen, now, decision);
        }
    }
    let at = At {
        step,
        needed,
        weight: spec.rollout.weight(step),
    };
    share(spec, &base, &at, wanted, seen, now, decision);
}

/// Where a rollout is.
pub(super) struct At {
    /// The step, from 1; 0 before the first.
    pub(super) step: u32,
    /// Ready replicas of the new revision that it needs.
    pub(super) needed: u32,
    /// What the new revision gets of the traffic.
    pub(super) weight: u32,
}

/// Replicas that so much of the traffic needs, of those that all of it needs.
pub(crate) fn replicas(weight: u32, wanted: u32) -> u32 {
    let share = (u64::from(wanted) * u64::from(weight)).div_ceil(100);
    u32::try_from(share).unwrap_or(wanted).clamp(1, wanted)
}

/// The revision that the traffic is shared with. If there is nothing to share, the new one takes
/// over at once: what nobody serves, and what it is told to take.
///
/// # Errors
/// There is nothing to share: why, where there is something to tell.
pub(super) fn base(
    spec: &Validated,
    seen: &Snapshot,
    memory: &Memory,
) -> Result<Validated, Option<Why>> {
    // One that has gone through has nothing left to show.
    let rollout = progress::of(spec, memory).filter(|it| !it.is_complete());
    let rollout = rollout.ok_or(None)?;
    let from = rollout.from.as_ref().ok_or(None)?;
    let base = progress::restored(spec, from, memory).ok_or(None)?;
    let is_promoted = spec.rollout.promote.as_ref() == Some(&spec.revision);
    let is_away = rollout.step == 0 && seen.ready(from) == 0;
    let (revision, from) = (spec.revision.clone(), from.clone());
    if seen.weights == super::all_to(&spec.revision) {
        Err(None)
    } else if is_promoted {
        Err(Some(Why::Promoted { revision }))
    } else if base.served_name != spec.served_name {
        Err(Some(Why::OtherName { revision, from }))
    } else if is_away || seen.weight(&from) == 0 {
        Err(Some(Why::NothingToCompare { revision, from }))
    } else {
        Ok(base)
    }
}

/// The most that the wanted revision may have of the traffic; `None` if nothing holds it back.
pub(super) fn allowed(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Option<u32> {
    base(spec, seen, memory).ok()?;
    let rollout = progress::of(spec, memory)?;
    Some(spec.rollout.weight(rollout.step))
}

pub(super) fn step(spec: &Validated, decision: &Decision) -> u32 {
    progress::of(spec, &decision.memory).map_or(0, |rollout| rollout.step)
}

/// Goes to the next step, if the one that it is at, which needs so many replicas, is passed.
pub(super) fn advance(
    spec: &Validated,
    base: &Validated,
    needed: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    if halted(spec, seen, decision).is_some() {
        return;
    }
    let is_ready = is_ready(spec, needed, seen, decision);
    let is_passed = traffic::is_passed(spec, seen, &decision.memory);
    let Some(rollout) = &mut decision.memory.rollout else {
        return;
    };
    let rises = spec.rollout.weight(rollout.step) > seen.weight(&spec.revision);
    if rises && !traffic::is_earned(spec, rollout) {
        progress::go_back(spec, seen, now, rollout);
    }
    let weight = spec.rollout.weight(rollout.step);
    if rollout.step == 0 {
        if is_ready {
            traffic::keep(spec, seen, now, &mut decision.memory);
            if let Some(rollout) = &mut decision.memory.rollout {
                rollout.enter(1, now);
            }
            // Its weight may hold already, given by an operator that died before it wrote that down.
            decision.wake(now);
        }
        return;
    }
    // A step counts while both are there to be compared.
    if !is_ready || seen.ready(&base.revision) == 0 || seen.weight(&spec.revision) != weight {
        rollout.held_since = None;
        return;
    }
    let begins = rollout.held_since.is_none() && spec.rollout.analysis.is_some();
    // A clock that was set back must not make it longer.
    let since = rollout.held_since.map_or(now, |since| since.min(now));
    rollout.held_since = Some(since);
    let (next, is_over) = (
        rollout.step + 1,
        after(since, spec.rollout.hold(rollout.step)) <= now,
    );
    if begins {
        // The comparison begins with the next look, which must not wait for the hold's end.
        decision.wake(now);
    }
    if is_passed && is_over {
        traffic::keep(spec, seen, now, &mut decision.memory);
        if let Some(rollout) = &mut decision.memory.rollout {
            rollout.enter(next, now);
        }
    }
}

/// Whether the new revision has answered and has the replicas that its step needs.
fn is_ready(spec: &Validated, needed: u32, seen: &Snapshot, decision: &Decision) -> bool {
    let known = decision.memory.revisions.get(&spec.revision);
    let has_answered = known.is_some_and(|known| known.answered_at.is_some());
    has_answered && is_proven(spec, seen, &decision.memory) && seen.ready(&spec.revision) >= needed
}

/// Gives the step's weight to the new revision, once it can bear it.
pub(super) fn share(
    spec: &Validated,
    base: &Validated,
    &At {
        step,
        needed,
        weight,
    }: &At,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let (revision, ready) = (&spec.revision, seen.ready(&spec.revision));
    let has_base = seen.ready(&base.revision) > 0;
    let bears = bear(spec, base, wanted, seen, decision);
    tell_missing(spec, needed, seen, decision);
    if ready == 0 && has_base && bears {
        // It comes back to its step; until then nobody should be sent to it.
        return spread(super::all_to(&base.revision), seen, decision);
    }
    if !answered(spec, seen, now, decision) {
        return;
    }
    if !has_base {
        decision.why.push(Why::StableAway {
            revision: base.revision.clone(),
        });
        return;
    }
    if let Some(why) = halted(spec, seen, decision) {
        decision.why.push(why);
        return;
    }
    if !proven(spec, seen, now, decision) || ready < needed || step == 0 || !bears {
        return;
    }
    let shares = [(revision, weight), (&base.revision, 100 - weight)];
    let to: Weights = shares.map(|(name, weight)| (name.clone(), weight)).into();
    spread(to, seen, decision);
    hold(spec, (step, weight), now, decision);
    traffic::tell(spec, seen, now, decision);
}

/// Whether one of the two has as many ready replicas as any that bears traffic now, or as are wanted:
/// a third one, which someone else gave traffic, may have more than either.
fn bear(
    spec: &Validated,
    base: &Validated,
    wanted: u32,
    seen: &Snapshot,
    decision: &Decision,
) -> bool {
    let strongest = seen.ready(&spec.revision).max(seen.ready(&base.revision));
    let borne = seen.strongest(progress::failed(&decision.memory));
    strongest >= borne.min(wanted)
}

/// Tells how long the step is held, and looks again then.
fn hold(spec: &Validated, (step, weight): (u32, u32), now: Timestamp, decision: &mut Decision) {
    let rollout = progress::of(spec, &decision.memory);
    if let Some(since) = rollout.and_then(|rollout| rollout.held_since) {
        let until = after(since, spec.rollout.hold(step));
        if until > now {
            decision.wake(until);
        }
        decision.why.push(Why::StepHolds {
            revision: spec.revision.clone(),
            weight,
            until,
        });
    }
}
