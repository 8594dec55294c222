//! What status tells of scaling: what one replica can do, the last changes of the count, and what
//! the next one rests on.

use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::status::{ReplicaCapacity, ScalingDecision, ScalingStatus, ScalingWish};
use jiff::Timestamp;

use super::revisions::wire;
use crate::decide::Action;
use crate::memory::Memory;
use crate::rollout;
use crate::scale::{Capacity, Wished};
use crate::snapshot::Snapshot;
use crate::validate::Validated;
use crate::why::Why;

/// Changes of the count that are kept.
const KEPT: usize = 10;

/// Of a model that scales.
pub(super) fn status(spec: &Validated, memory: &Memory) -> Option<ScalingStatus> {
    spec.scaling.as_ref().map(|_| ScalingStatus {
        decisions: memory.scalings.clone(),
        lows: memory.lows.iter().map(wish).collect(),
        highs: memory.highs.iter().map(wish).collect(),
    })
}

/// Notes a change of the count that was carried out, with the reasons for the count.
pub(super) fn note(
    spec: &Validated,
    action: &Action,
    (seen, why): (&Snapshot, &[Why]),
    memory: &mut Memory,
    now: Timestamp,
) {
    let Action::Scale { revision, from, to } = action else {
        return;
    };
    // Of two revisions that share the traffic, one follows the load and the other its weight.
    let pursued = rollout::fallback(spec, memory);
    let pursued = pursued.as_ref().map_or(&spec.revision, |it| &it.revision);
    let bearer = rollout::rival(spec, seen, memory).unwrap_or(pursued);
    if spec.scaling.is_none() || revision != bearer {
        return;
    }
    let reasons = why.iter().filter(|why| why.tells_count());
    memory.scalings.push(ScalingDecision {
        at: MicroTime(now),
        from: wire(*from),
        to: wire(*to),
        why: reasons.map(ToString::to_string).collect(),
    });
    let old = memory.scalings.len().saturating_sub(KEPT);
    memory.scalings.drain(..old);
}

pub(super) fn capacity(known: &Capacity) -> ReplicaCapacity {
    // What is read back and written again has to stay the same text.
    let told = |rate: f64| (rate * 1e6).round() / 1e6;
    ReplicaCapacity {
        prefill_tokens_per_second: told(known.prefill),
        decode_tokens_per_second: told(known.decode),
        requests_per_second: told(known.requests),
        learned_at: MicroTime(known.at),
        reached_at: known.strained_at.map(MicroTime),
    }
}

fn wish(wished: &Wished) -> ScalingWish {
    ScalingWish {
        since: MicroTime(wished.since),
        replicas: wire(wished.replicas),
    }
}
