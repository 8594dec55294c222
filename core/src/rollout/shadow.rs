//! Live prompts that both revisions are asked aside, once the new one's answers to suites were found good and before it has
//! any traffic. What is found is the comparison of step 0.

use jiff::Timestamp;

use super::{answers, progress, traffic};
use crate::decide::Decision;
use crate::memory::Memory;
use crate::snapshot::Snapshot;
use crate::validate::Validated;
use crate::why::Why;

/// Whether the revision may have traffic as far as live prompts go: none are to be asked, there is nothing to compare its
/// answers with, it has left step 0, or enough of its answers are like the other's.
pub(super) fn is_passed(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let is_first = progress::of(spec, memory).is_some_and(|it| it.step == 0);
    let is_asked = spec.rollout.shadow.is_some() && is_first;
    !is_asked || !answers::have_to_be(spec, seen, memory) || traffic::is_passed(spec, seen, memory)
}

/// Has prompts asked, where that is still to be done. At step 0 what is held is not a weight but that they are.
pub(super) fn shown(
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) -> bool {
    let Some(aside) = spec.rollout.shadow else {
        return true;
    };
    if is_passed(spec, seen, &decision.memory) {
        note(spec, seen, now, decision);
        return true;
    }
    let rival = answers::rival(spec, seen, &decision.memory).map(str::to_owned);
    let Some(rollout) = &mut decision.memory.rollout else {
        return true;
    };
    if let Some(from) = rival.filter(|from| seen.ready(from) == 0) {
        rollout.held_since = None;
        decision.why.push(Why::StableAway { revision: from });
        return false;
    }
    if rollout.held_since.is_none() {
        rollout.held_since = Some(now);
        // The comparison begins with the next look.
        decision.wake(now);
    }
    decision.why.push(Why::ShadowOpen {
        revision: spec.revision.clone(),
        percent: aside.share.percent,
        needed: aside.limits.min_requests,
    });
    false
}

/// Keeps what was shown, once.
fn note(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    let rollout = progress::of(spec, &decision.memory);
    if rollout.is_some_and(|it| it.step == 0 && it.analysis.is_none()) {
        traffic::keep(spec, seen, now, &mut decision.memory);
    }
}
