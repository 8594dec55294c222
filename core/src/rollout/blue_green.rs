//! New beside old, then all traffic at once. Needs room for both; never has less ready than
//! before, unless fewer are wanted.

use jiff::Timestamp;

use super::progress::{self, halted};
use super::{
    all_to, answered, ensure, others, proven, retire, retire_spent, settle, shift, shut,
    tell_missing,
};
use crate::decide::Decision;
use crate::snapshot::Snapshot;
use crate::validate::Validated;

pub(super) fn plan(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    if wanted == 0 {
        // Before the replicas go, or requests would still be sent to them.
        shut(seen, decision);
    }
    ensure(spec, wanted, seen, now, decision);
    let ready = seen.ready(&spec.revision);
    if wanted > 0 && !take_over(spec, wanted, ready, seen, now, decision) {
        return retire_spent(spec, seen, now, decision);
    }
    // A revision that still has weight in `seen` is left for the next look, when it has none.
    for other in others(spec, seen) {
        retire(other, spec, seen, now, decision);
    }
    if ready >= wanted {
        settle(spec, seen, (ready, wanted), now, decision);
    }
}

/// Whether the wanted revision has the traffic or gets it now.
fn take_over(
    spec: &Validated,
    wanted: u32,
    ready: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) -> bool {
    let has_it = seen.weights == all_to(&spec.revision);
    // As many as bear the traffic now, at most as many as are wanted, and at least one.
    let needed = if has_it {
        wanted
    } else {
        let without = progress::failed(&decision.memory);
        seen.strongest(without).clamp(1, wanted)
    };
    tell_missing(spec, needed, seen, decision);
    if !answered(spec, seen, now, decision) || (ready < needed && !has_it) {
        return false;
    }
    if let Some(why) = halted(spec, seen, decision).filter(|_| !has_it) {
        decision.why.push(why);
        return false;
    }
    if !has_it && !proven(spec, seen, now, decision) {
        return false;
    }
    shift(spec, seen, decision);
    true
}
