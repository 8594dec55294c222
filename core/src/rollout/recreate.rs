//! Old goes before new comes, for places with no room for both. The model is away in between.

use jiff::Timestamp;

use super::progress::halted;
use super::{answered, ensure, others, retire, settle, shift, shut, tell_missing};
use crate::decide::Decision;
use crate::snapshot::Snapshot;
use crate::validate::Validated;
use crate::why::Why;

pub(super) fn plan(
    spec: &Validated,
    wanted: u32,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) {
    let old: Vec<String> = others(spec, seen).cloned().collect();
    if !old.is_empty() {
        if let Some(why) = halted(spec, seen, decision) {
            decision.why.push(why);
            return;
        }
        let why = Why::WaitRemoval {
            revision: spec.revision.clone(),
            others: old.len(),
        };
        decision.why.push(why);
        if old.iter().any(|name| seen.weight(name) > 0) {
            shut(seen, decision);
        }
        for name in &old {
            retire(name, spec, seen, now, decision);
        }
        return;
    }
    if wanted == 0 {
        // Before the replicas go, or requests would still be sent to them.
        shut(seen, decision);
    }
    ensure(spec, wanted, seen, now, decision);
    let ready = seen.ready(&spec.revision);
    tell_missing(spec, wanted, seen, decision);
    if wanted > 0 {
        if !answered(spec, seen, now, decision) || ready == 0 {
            return;
        }
        shift(spec, seen, decision);
    }
    if ready >= wanted {
        settle(spec, seen, (ready, wanted), now, decision);
    }
}
