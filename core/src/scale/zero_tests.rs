use std::time::Duration;

use chandler_crds::ModelDeployment;
use chandler_crds::names::{GROUP, KIND, VERSION};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::zero::{Verdict, judge};
use crate::memory::{Memory, RevisionMemory};
use crate::snapshot::{GatewaysSeen, RevisionSeen, Snapshot};
use crate::validate::{Validated, validate};
use crate::why::Why;

const MINUTE: Duration = Duration::from_secs(60);

fn spec(paused: bool) -> Validated {
    let object: Value = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND,
        "metadata": {"name": "chat"},
        "spec": {
            "model": {"source": "file:///a"}, "paused": paused,
            "autoscaling": {"minReplicas": 0, "maxReplicas": 4, "idleAfter": "1m"},
        },
    });
    let object: ModelDeployment = serde_json::from_value(object).expect("an object");
    validate(&object).expect("a good spec")
}

/// What is remembered of the wanted revision.
fn memory(spec: &Validated, answered: bool) -> Memory {
    let known = RevisionMemory {
        answered_at: answered.then_some(Timestamp::UNIX_EPOCH),
        ..RevisionMemory::new(Timestamp::UNIX_EPOCH)
    };
    Memory {
        revisions: [(spec.revision.clone(), known)].into(),
        ..Memory::default()
    }
}

/// What is seen of a revision: replicas, and seconds that they have been idle.
fn there(desired: u32, idle: Option<u64>) -> RevisionSeen {
    RevisionSeen {
        desired,
        ready: desired,
        idle: idle.map(Duration::from_secs),
        ..RevisionSeen::default()
    }
}

fn seen(
    spec: &Validated,
    gateways: Option<(u64, Option<u64>)>,
    wanted: Option<RevisionSeen>,
    other: Option<RevisionSeen>,
) -> Snapshot {
    let gateways = gateways.map(|(waiting, idle)| GatewaysSeen {
        waiting,
        idle: idle.map(Duration::from_secs),
        open: None,
    });
    let wanted = wanted.map(|there| (spec.revision.clone(), there));
    let other = other.map(|there| ("other".to_owned(), there));
    Snapshot {
        revisions: wanted.into_iter().chain(other).collect(),
        gateways,
        ..Snapshot::default()
    }
}

fn judged(seen: &Snapshot, answered: bool) -> Verdict {
    let spec = spec(false);
    judge(&spec, MINUTE, seen, &memory(&spec, answered))
}

fn woken(waiting: u64) -> Verdict {
    Verdict::Woken {
        why: Why::Woken { waiting },
        waiting,
    }
}

/// Awake, for reasons that the rest of the decision tells.
fn busy() -> Verdict {
    Verdict::Awake {
        why: None,
        look_after: None,
    }
}

fn awake(why: Why, seconds: u64) -> Verdict {
    Verdict::Awake {
        why: Some(why),
        look_after: Some(Duration::from_secs(seconds)),
    }
}

const AWAKE: Why = Why::Awake { idle_after: MINUTE };

#[test]
fn a_model_at_rest_is_woken_by_whoever_waits() {
    let spec = spec(false);
    for (waiting, expected) in [
        (0, Verdict::Asleep(Why::Asleep)),
        (1, woken(1)),
        (1000, woken(1000)),
    ] {
        let world = seen(&spec, Some((waiting, None)), Some(there(0, None)), None);
        assert_eq!(judged(&world, true), expected, "{waiting} wait");
    }
    let other = seen(
        &spec,
        Some((0, None)),
        Some(there(0, None)),
        Some(there(0, None)),
    );
    assert_eq!(judged(&other, true), Verdict::Asleep(Why::Asleep));
}

#[test]
fn a_model_at_work_rests_once_all_tell_that_it_is_idle() {
    let spec = spec(false);
    let asleep = |seconds| {
        Verdict::Asleep(Why::FallsAsleep {
            idle: Duration::from_secs(seconds),
            idle_after: MINUTE,
        })
    };
    let unknown = |gateways, replicas| {
        let why = Why::IdleUnknown { gateways, replicas };
        awake(why, 60)
    };
    for (waiting, gateways, replicas, expected) in [
        (0, Some(60), Some(60), asleep(60)),
        (0, Some(90), Some(61), asleep(61)),
        (0, Some(59), Some(90), awake(AWAKE, 1)),
        (0, Some(90), Some(20), awake(AWAKE, 40)),
        (0, Some(0), Some(0), awake(AWAKE, 60)),
        (1, Some(90), Some(90), awake(AWAKE, 60)),
        (0, None, Some(90), unknown(false, true)),
        (0, Some(90), None, unknown(true, false)),
        (0, None, None, unknown(false, false)),
    ] {
        let wanted = there(2, replicas);
        let world = seen(&spec, Some((waiting, gateways)), Some(wanted), None);
        let case = format!("{waiting} {gateways:?} {replicas:?}");
        assert_eq!(judged(&world, true), expected, "{case}");
    }
}

#[test]
fn a_look_comes_no_sooner_than_there_is_something_new() {
    let spec = spec(false);
    let mut world = seen(&spec, Some((0, Some(90))), Some(there(1, None)), None);
    let wanted = world.revisions.get_mut(&spec.revision).expect("there");
    wanted.idle = Some(Duration::from_millis(59_990));
    assert_eq!(judged(&world, true), awake(AWAKE, 1));
}

#[test]
fn what_is_no_time_to_rest_keeps_its_replicas() {
    let spec = spec(false);
    let idle = || Some(there(1, Some(99)));
    let long = Some((0, Some(99)));
    let rollout = seen(&spec, long, idle(), idle());
    assert_eq!(judged(&rollout, true), busy());
    let none = seen(&spec, long, None, Some(there(0, None)));
    assert_eq!(judged(&none, true), busy(), "it is still to be made");
    let alone = seen(&spec, None, idle(), None);
    let nothing_wakes = Verdict::Awake {
        why: Some(Why::NothingWakes),
        look_after: None,
    };
    assert_eq!(judged(&alone, true), nothing_wakes);
    let rests = seen(&spec, None, Some(there(0, None)), None);
    assert_eq!(judged(&rests, true), nothing_wakes);
    for replicas in [0, 1] {
        let unproven = seen(&spec, long, Some(there(replicas, Some(99))), None);
        assert_eq!(judged(&unproven, false), busy(), "{replicas}");
    }
}

#[test]
fn a_paused_model_stays_as_it_is() {
    let spec = spec(true);
    for (replicas, expected) in [(0, Verdict::Asleep(Why::Asleep)), (1, busy())] {
        for waiting in [0, 1] {
            let wanted = Some(there(replicas, Some(99)));
            let world = seen(&spec, Some((waiting, Some(99))), wanted, None);
            let told = judge(&spec, MINUTE, &world, &memory(&spec, true));
            assert_eq!(told, expected, "{replicas} {waiting}");
        }
    }
}
