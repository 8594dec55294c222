use std::time::Duration;

use chandler_crds::ModelDeployment;
use chandler_crds::names::{GROUP, KIND, VERSION};
use jiff::Timestamp;
use serde_json::json;

use super::{Wanted, wanted};
use crate::memory::{Memory, RevisionMemory};
use crate::snapshot::{GatewaysSeen, RevisionSeen, Snapshot, Weights};
use crate::validate::{Validated, validate};
use crate::why::Why;

/// A model that may rest, with three replicas from eight to ten and one from nine to noon.
fn spec(paused: bool) -> Validated {
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND,
        "metadata": {"name": "chat"},
        "spec": {
            "model": {"source": "file:///a"}, "paused": paused,
            "autoscaling": {
                "minReplicas": 0, "maxReplicas": 4, "idleAfter": "1m",
                "schedule": [
                    {"start": "0 8 * * *", "end": "0 10 * * *", "minReplicas": 3},
                    {"start": "0 9 * * *", "end": "0 12 * * *", "minReplicas": 1},
                ],
            },
        },
    });
    let object: ModelDeployment = serde_json::from_value(object).expect("an object");
    validate(&object).expect("a good spec")
}

fn at(time: &str) -> Timestamp {
    format!("2024-05-17T{time}Z").parse().expect("a time")
}

/// What is wanted then of a model with so many replicas that nobody has asked for an hour, and for
/// which so many wait.
fn wanted_at(time: &str, replicas: u32, waiting: u64, paused: bool) -> Wanted {
    let spec = spec(paused);
    let known = RevisionMemory {
        answered_at: Some(Timestamp::UNIX_EPOCH),
        ..RevisionMemory::new(Timestamp::UNIX_EPOCH)
    };
    let memory = Memory {
        revisions: [(spec.revision.clone(), known)].into(),
        ..Memory::default()
    };
    let hour = Some(Duration::from_secs(3600));
    let there = RevisionSeen {
        desired: replicas,
        ready: replicas,
        idle: hour.filter(|_| replicas > 0),
        ..RevisionSeen::default()
    };
    let traffic = (spec.revision.clone(), 100);
    let seen = Snapshot {
        revisions: [(spec.revision.clone(), there)].into(),
        weights: Weights::from_iter((replicas > 0).then_some(traffic)),
        gateways: Some(GatewaysSeen {
            waiting,
            idle: hour,
            open: None,
        }),
        ..Snapshot::default()
    };
    wanted(&spec, &seen, &memory, at(time))
}

fn scheduled(replicas: u32, until: &str) -> Why {
    let until = at(until);
    Why::Scheduled { replicas, until }
}

#[test]
fn a_floor_wakes_a_model_and_keeps_it_awake() {
    for (time, replicas, expected, told) in [
        ("07:59", 0, 0, Why::ScheduleWakes { at: at("08:00") }),
        ("08:00", 0, 3, scheduled(3, "10:00")),
        ("08:30", 1, 3, scheduled(3, "10:00")),
        ("08:30", 4, 4, scheduled(3, "10:00")),
        ("09:30", 3, 3, scheduled(3, "10:00")),
        // The count goes down by what replicas tell, and these tell nothing.
        ("10:00", 3, 3, scheduled(1, "12:00")),
        ("11:00", 0, 1, scheduled(1, "12:00")),
    ] {
        let wanted = wanted_at(time, replicas, 0, false);
        assert_eq!(wanted.replicas, expected, "{replicas} at {time}");
        assert!(wanted.why.contains(&told), "{time}: {:?}", wanted.why);
    }
    let rests = wanted_at("12:00", 3, 0, false);
    assert_eq!(rests.replicas, 0, "{:?}", rests.why);
    assert!(matches!(rests.why[0], Why::FallsAsleep { .. }));
}

#[test]
fn who_waits_is_served_beside_a_floor() {
    let woken = wanted_at("09:00", 0, 2, false);
    assert_eq!(woken.replicas, 3, "{:?}", woken.why);
    assert_eq!(woken.why[0], Why::Woken { waiting: 2 });
    assert_eq!(wanted_at("13:00", 0, 2, false).replicas, 1);
}

#[test]
fn a_look_comes_as_a_floor_begins_and_as_it_ends() {
    for (time, replicas, seconds) in [
        ("07:59:30", 0, 30),
        ("08:00", 3, 3600),
        ("08:59:59", 3, 1),
        ("11:45", 1, 900),
        // Not at once for the whole night.
        ("13:00", 0, 3600),
    ] {
        let look = wanted_at(time, replicas, 0, false).look_after;
        assert_eq!(look, Some(Duration::from_secs(seconds)), "{time}");
    }
}

#[test]
fn what_is_paused_is_left_alone() {
    let wanted = wanted_at("08:30", 0, 0, true);
    assert_eq!(wanted.replicas, 0);
    assert_eq!(spec(true).bounds(at("08:30")), (0, 4));
    assert_eq!(spec(false).bounds(at("08:30")), (3, 4));
}
