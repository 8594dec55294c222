//! New in the places of old, one after another, for places with no room for all of both. Where not
//! even one more has room, an old replica goes before a new one comes: one is out at a time, and the
//! traffic that each revision has follows its ready replicas. Steps, their analysis and the evaluation
//! come before, as of a canary.

use jiff::Timestamp;

use super::canary::{self, At};
use super::places::{self, Budget};
use super::progress::halted;
use super::{
    all_to, answered, bearing, ensure, others, proven, resize, retire, spread, tell_missing,
};
use crate::decide::Decision;
use crate::memory::Memory;
use crate::snapshot::{Snapshot, Weights};
use crate::validate::Validated;

pub(super) fn plan(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let in_place = places::in_place_now(spec, seen, &decision.memory);
    let budget = in_place.map(|it| it.budget(wanted));
    let is_needed = wanted > 0 && bearing(&spec.revision, seen).next().is_some();
    let Some(budget) = budget.filter(|_| is_needed) else {
        return canary::plan(spec, wanted, seen, now, decision);
    };
    count_ready(spec, seen, now, decision);
    let base = match canary::base(spec, seen, &decision.memory) {
        Ok(base) => base,
        Err(why) => {
            decision.why.extend(why);
            return roll(spec, wanted, budget, seen, now, decision);
        }
    };
    let mut bearing = bearing(&spec.revision, seen);
    if bearing.any(|name| *name != base.revision) && seen.ready(&base.revision) > 0 {
        // A third one is left over from a rollout that this one overtook. What it took is given
        // back first: it was not known to be good.
        return roll(&base, wanted, budget, seen, now, decision);
    }
    gated(spec, &base, wanted, budget, seen, now, decision);
}

/// Each new replica that becomes ready is progress, after which the next one has its own time.
fn count_ready(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    let ready = seen.ready(&spec.revision);
    let Some(rollout) = &mut decision.memory.rollout else {
        return;
    };
    let in_place = rollout.plan.as_mut().and_then(|it| it.in_place.as_mut());
    if let Some(in_place) = in_place.filter(|it| it.reached < ready) {
        in_place.reached = ready;
        rollout.step_began_at = now;
    }
}

/// The steps before the last, and the answers before any traffic.
fn gated(
    spec: &Validated,
    base: &Validated,
    wanted: u32,
    budget: Budget,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let most = wanted.saturating_add(budget.surge);
    let last = spec.rollout.last_step();
    let needed = |step: u32| match step.max(1) {
        step if step == last => 1,
        // The old one keeps one at least: it is compared with.
        step => canary::replicas(spec.rollout.weight(step), wanted).min(most - 1),
    };
    let passes = match canary::step(spec, decision) {
        0 => 1,
        step => needed(step),
    };
    canary::advance(spec, base, passes, seen, now, decision);
    let step = canary::step(spec, decision);
    if step >= last {
        return roll(spec, wanted, budget, seen, now, decision);
    }
    let needed = needed(step);
    let desired = |name| seen.revisions.get(name).map_or(0, |there| there.desired);
    let (old, new) = (desired(&base.revision), desired(&spec.revision));
    let goal = (most - needed)
        .min(wanted)
        .max(least(spec, wanted, budget, seen));
    // What had to make room for another step, or never came, comes as far as there is room.
    // Nor does it lose a ready one that was told to go and is still there.
    let room = most.saturating_sub(new).max(seen.ready(&base.revision));
    let kept = old.clamp(goal.min(room.max(1)), goal);
    ensure(base, kept, seen, now, decision);
    let there = seen.ready(&spec.revision);
    let fit = needed.min(most.saturating_sub(kept)).max(there).min(wanted);
    ensure(spec, fit, seen, now, decision);
    if there > 0 {
        tell_missing(spec, needed, seen, decision);
    }
    for other in seen.revisions.keys() {
        if *other != spec.revision && *other != base.revision {
            retire(other, spec, seen, now, decision);
        }
    }
    let at = on_the_way(spec, step, needed, seen);
    canary::share(spec, base, &at, wanted, seen, now, decision);
}

/// As much of a step's weight as the replicas that are ready can bear: only what they bear lets
/// others go, whose places the next ones take.
fn on_the_way(spec: &Validated, step: u32, needed: u32, seen: &Snapshot) -> At {
    let ready = seen.ready(&spec.revision);
    let whole = spec.rollout.weight(step);
    if ready == 0 || ready >= needed {
        return At {
            step,
            needed,
            weight: whole,
        };
    }
    let weight = part(whole, ready, needed).max(seen.weight(&spec.revision));
    At {
        step,
        needed: ready,
        weight: weight.clamp(1, whole.max(1)),
    }
}

/// Fewest replicas that those which the target takes over from must keep: one at least while they
/// have traffic, and as many as bear it with those of the target that do.
fn least(target: &Validated, wanted: u32, budget: Budget, seen: &Snapshot) -> u32 {
    let bears = bears(target, seen);
    let needed = wanted.saturating_sub(budget.out.saturating_add(bears));
    needed.max(1)
}

/// Ready replicas of the target that stay, if it has traffic.
fn bears(target: &Validated, seen: &Snapshot) -> u32 {
    match seen.weight(&target.revision) {
        0 => 0,
        _ => staying(&target.revision, seen),
    }
}

/// Replicas and traffic go over to the target, as fast as there is room and no faster than it
/// becomes ready.
fn roll(
    target: &Validated,
    wanted: u32,
    budget: Budget,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let ready = seen.ready(&target.revision);
    let mut olds: Vec<Old<'_>> = bearing(&target.revision, seen)
        .map(|name| Old::new(name, seen))
        .collect();
    let halted = halted(target, seen, decision);
    let goes_on = halted.is_none();
    decision.why.extend(halted);
    if goes_on {
        let least = least(target, wanted, budget, seen);
        shrink(&mut olds, least, now, decision);
        let kept = olds.iter().map(|it| it.to).fold(0, u32::saturating_add);
        let fit = wanted.saturating_add(budget.surge).saturating_sub(kept);
        ensure(target, fit.max(ready).clamp(1, wanted), seen, now, decision);
        tell_missing(target, wanted, seen, decision);
        let needed = wanted.saturating_sub(budget.out);
        let given_up = given_up(target, &olds, needed, seen, &decision.memory);
        if let Some(weights) = given_up.filter(|_| kept > least) {
            return spread(weights, seen, decision);
        }
    }
    for other in others(target, seen) {
        retire(other, target, seen, now, decision);
    }
    if !answered(target, seen, now, decision) || ready == 0 {
        return;
    }
    // One that takes over from a revision that is away is still to be compared with it.
    if !goes_on || !proven(target, seen, now, decision) {
        return;
    }
    if ready.saturating_add(budget.out) >= wanted {
        spread(all_to(&target.revision), seen, decision);
    } else {
        spread(shares(target, &olds, seen), seen, decision);
    }
}

/// A revision that is taken over from.
struct Old<'a> {
    name: &'a str,
    /// Replicas that it has, by order, and shall have.
    desired: u32,
    to: u32,
    /// Ready ones, and those of them that were not told to go.
    ready: u32,
    staying: u32,
}

impl<'a> Old<'a> {
    fn new(name: &'a str, seen: &Snapshot) -> Self {
        let desired = seen.revisions.get(name).map_or(0, |there| there.desired);
        Self {
            name,
            desired,
            to: desired,
            ready: seen.ready(name),
            staying: staying(name, seen),
        }
    }
}

/// Ready replicas of a revision that were not told to go.
fn staying(revision: &str, seen: &Snapshot) -> u32 {
    let there = seen.revisions.get(revision);
    there.map_or(0, |there| there.ready.min(there.desired))
}

/// Takes replicas from the revisions that are taken over from until `least` are left of them all,
/// and one of each. Those that are not ready go first, and no ready one that is needed.
fn shrink(olds: &mut [Old<'_>], least: u32, now: Timestamp, decision: &mut Decision) {
    let beyond = |count: fn(&Old<'_>) -> u32| {
        let all: u64 = olds.iter().map(|old| u64::from(count(old))).sum();
        all.saturating_sub(u64::from(least))
    };
    let (mut too_many, mut spare) = (beyond(|old| old.desired), beyond(|old| old.staying));
    // At most `count`, which is where it ends.
    let take = |count: u32, most: u64| count.min(u32::try_from(most).unwrap_or(u32::MAX));
    for old in olds {
        let idle = take(old.desired.saturating_sub(old.staying.max(1)), too_many);
        too_many -= u64::from(idle);
        let busy = take(old.staying.saturating_sub(1), too_many.min(spare));
        too_many -= u64::from(busy);
        spare -= u64::from(busy);
        old.to = old.desired - idle - busy;
        old.ready -= busy;
        if old.to < old.desired {
            resize(old.name.to_owned(), old.desired, old.to, now, decision);
        }
    }
}

/// Each of several revisions keeps one replica while it has traffic, which together may be too many:
/// the one with fewest ready gives its traffic to another, and its place up. `None` if none can, or
/// nobody may have its traffic: the wanted one gets none but by its steps.
fn given_up(
    target: &Validated,
    olds: &[Old<'_>],
    needed: u32,
    seen: &Snapshot,
    memory: &Memory,
) -> Option<Weights> {
    let bears = bears(target, seen);
    let bearing = olds.iter().map(|it| it.ready);
    let bearing = bearing.fold(bears, u32::saturating_add);
    let fewest = olds.iter().min_by_key(|it| it.ready)?;
    let is_spare = fewest.ready == 0 || bearing - fewest.ready >= needed;
    if olds.len() < 2 || !is_spare {
        return None;
    }
    let wanted = memory.rollout.as_ref().map(|it| it.revision.as_str());
    let target = (target.revision.as_str(), bears);
    let olds = olds.iter().map(|it| (it.name, it.ready));
    let all = [target].into_iter().chain(olds);
    let left = all.filter(|(name, ready)| *ready > 0 && *name != fewest.name);
    let left: Vec<&str> = left.map(|(name, _)| name).collect();
    let heir = left.iter().find(|name| Some(**name) != wanted)?;
    let mut rest = 100_u32;
    let mut weights = Weights::new();
    for name in left.iter().filter(|name| *name != heir) {
        let weight = seen.weight(name).min(rest.saturating_sub(1));
        rest -= weight;
        weights.insert((*name).to_owned(), weight);
    }
    weights.insert((*heir).to_owned(), rest);
    weights.retain(|_, weight| *weight > 0);
    Some(weights)
}

/// Traffic by ready replicas, of which the target must have one. What it has by its steps it keeps.
fn shares(target: &Validated, olds: &[Old<'_>], seen: &Snapshot) -> Weights {
    let olds: Vec<_> = olds.iter().filter(|old| old.ready > 0).collect();
    let old = olds.iter().map(|old| old.ready);
    let old = old.fold(0, u32::saturating_add);
    let new = seen.ready(&target.revision);
    let share = part(100, new, new.saturating_add(old)).max(seen.weight(&target.revision));
    // Each old one keeps a hundredth at least, for its ready replicas are counted on, and gets no
    // more than it had.
    let whole = 100 - share.min(99);
    let mut rest = 100_u32;
    let mut weights = Weights::new();
    for it in &olds {
        let weight = part(whole, it.ready, old).clamp(1, seen.weight(it.name).max(1));
        let weight = weight.min(rest.saturating_sub(1));
        rest -= weight;
        weights.insert(it.name.to_owned(), weight);
    }
    weights.insert(target.revision.clone(), rest);
    weights.retain(|_, weight| *weight > 0);
    weights
}

/// `whole · count / of`, rounded down.
fn part(whole: u32, count: u32, of: u32) -> u32 {
    let part = u64::from(whole) * u64::from(count) / u64::from(of.max(1));
    u32::try_from(part).unwrap_or(whole)
}
