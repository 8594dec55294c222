//! To no replica and back, for models that may rest.
//!
//! Nothing of this is remembered. The gateways and the replicas measure, each by its own clock that
//! never jumps, how long no request has come, and tell the length: an operator that starts anew, or
//! whose clock is set, knows as much as the one before. What is not told never puts a model to rest.

use std::time::Duration;

use crate::memory::Memory;
use crate::snapshot::{GatewaysSeen, Snapshot};
use crate::validate::Validated;
use crate::why::Why;

/// What is told is up to a second old: a look before that would see the same.
const LOOK: Duration = Duration::from_secs(1);

/// What becomes of a model that may rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It needs no replica.
    Asleep(Why),
    /// It rests and needs replicas.
    Woken {
        /// Why.
        why: Why,
        /// Requests that wait for them.
        waiting: u64,
    },
    /// It has replicas, or needs its first, and keeps them.
    Awake {
        /// Why, unless the rest of the decision tells.
        why: Option<Why>,
        /// When to judge again, if nothing else asks for it.
        look_after: Option<Duration>,
    },
}

/// Judges a model whose spec has no fewest replicas.
pub(super) fn judge(
    spec: &Validated,
    idle_after: Duration,
    seen: &Snapshot,
    memory: &Memory,
) -> Verdict {
    let rests = rests(&spec.revision, seen);
    if spec.paused {
        return if rests {
            Verdict::Asleep(Why::Asleep)
        } else {
            busy()
        };
    }
    if !answered(&spec.revision, memory) {
        // Whether a revision works is found out at once, and not by the first who waits for it.
        return busy();
    }
    match &seen.gateways {
        None => Verdict::Awake {
            why: Some(Why::NothingWakes),
            look_after: None,
        },
        Some(gateways) if rests => at_rest(gateways.waiting),
        // A rollout goes on to its end, which is seen to change.
        Some(_) if seen.revisions.keys().any(|name| *name != spec.revision) => busy(),
        Some(gateways) => at_work(&spec.revision, idle_after, gateways, seen),
    }
}

/// Whether the wanted revision is there, and nothing has replicas.
fn rests(revision: &str, seen: &Snapshot) -> bool {
    let mut all = seen.revisions.values();
    seen.revisions.contains_key(revision) && all.all(|there| there.desired == 0)
}

fn answered(revision: &str, memory: &Memory) -> bool {
    let known = memory.revisions.get(revision);
    known.is_some_and(|known| known.answered_at.is_some())
}

fn busy() -> Verdict {
    Verdict::Awake {
        why: None,
        look_after: None,
    }
}

fn at_rest(waiting: u64) -> Verdict {
    match waiting {
        0 => Verdict::Asleep(Why::Asleep),
        waiting => Verdict::Woken {
            why: Why::Woken { waiting },
            waiting,
        },
    }
}

fn at_work(
    revision: &str,
    idle_after: Duration,
    gateways: &GatewaysSeen,
    seen: &Snapshot,
) -> Verdict {
    let awake = |why, look_after| Verdict::Awake {
        why: Some(why),
        look_after: Some(look_after),
    };
    match seen.idle(revision) {
        _ if gateways.waiting > 0 => awake(Why::Awake { idle_after }, idle_after),
        Some(idle) if idle >= idle_after => Verdict::Asleep(Why::FallsAsleep { idle, idle_after }),
        Some(idle) => awake(Why::Awake { idle_after }, (idle_after - idle).max(LOOK)),
        None => {
            let replicas = seen.revisions.get(revision).and_then(|there| there.idle);
            let why = Why::IdleUnknown {
                gateways: gateways.idle.is_some(),
                replicas: replicas.is_some(),
            };
            awake(why, idle_after)
        }
    }
}
