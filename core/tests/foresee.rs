//! Whether a turn would change anything is told beforehand.

mod common;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chandler_core::analysis::Question;
use chandler_core::cycle::{Foreseen, Turn, cycle, foresee};
use chandler_core::decide::Action;
use chandler_core::load::{Flow, LoadSeen};
use chandler_core::snapshot::{RevisionSeen, Snapshot};
use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use common::random::{any_seen, config, good_object, load, named, past_memory};
use common::{at, idle, lock, proven, seen, weights};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

/// A world that is as it is, and does what it is told at once.
struct Shown(Snapshot);

impl World for Shown {
    async fn observe(&mut self, _: &ModelKey, _: Option<&Question>) -> Result<Snapshot, Failure> {
        Ok(self.0.clone())
    }

    async fn perform(&mut self, _key: &ModelKey, action: &Action) -> Outcome {
        let revisions = &mut self.0.revisions;
        match action {
            Action::Resolve { .. } => return Outcome::Resolved(lock()),
            Action::Probe { .. } | Action::Evaluate { .. } => {}
            Action::EnsureRevision {
                revision, replicas, ..
            } => {
                let desired = *replicas;
                let there = RevisionSeen {
                    desired,
                    ready: desired,
                    ..RevisionSeen::default()
                };
                revisions.insert(revision.clone(), there);
            }
            Action::Scale { revision, to, .. } => {
                let there = revisions.get_mut(revision).expect("there");
                (there.desired, there.ready) = (*to, *to);
            }
            Action::Mend { revision, .. } => {
                revisions.get_mut(revision).expect("there").drifted = false;
            }
            Action::SetTraffic { to, .. } => self.0.weights.clone_from(to),
            Action::Retire { revision } => drop(revisions.remove(revision)),
        }
        Outcome::Done
    }
}

fn turn(world: &mut Shown, object: &ModelDeployment, now: Timestamp) -> Turn {
    let turn = pin!(cycle(world, object, now));
    match turn.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => turn.expect("seen"),
        Poll::Pending => unreachable!("nothing in it waits"),
    }
}

/// Does a turn, writes its status down and tells whether it changed anything, which was foreseen.
fn foreseen_turn(
    world: &mut Shown,
    object: &mut ModelDeployment,
    now: Timestamp,
) -> Result<bool, TestCaseError> {
    let spec = validate(object).expect("a good spec");
    let foreseen = foresee(&spec, object.status.as_ref(), &world.0, now);
    let turn = turn(world, object, now);
    let changes = !turn.decision.actions.is_empty() || object.status.as_ref() != Some(&turn.status);
    let still = Foreseen::Still {
        wake_at: turn.wake_at,
    };
    let expected = if changes { Foreseen::Turn } else { still };
    prop_assert_eq!(foreseen, expected, "{:#?}", turn);
    object.status = Some(kept(&turn.status));
    Ok(changes)
}

/// What an API server keeps of a status.
fn kept(status: &ModelDeploymentStatus) -> ModelDeploymentStatus {
    let text = serde_json::to_string(status).expect("a status is JSON");
    serde_json::from_str(&text).expect("and is read back")
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn a_turn_is_foreseen_exactly_if_it_changes_anything(
        object in good_object(), seen in any_seen(), memory in past_memory(),
        looks in prop::collection::vec((0i64..120, prop::bool::weighted(0.5), load()), 1..16),
    ) {
        let mut object = object;
        let spec = validate(&object).expect("a good spec");
        let (seen, memory) = named(&spec, seen, memory);
        let mut now = common::now();
        object.status = Some(common::turn(&spec, &seen, &memory, &Outcome::Skipped).status);
        let mut world = Shown(seen);
        for (wait, is_news, load) in looks {
            if is_news && let Some(there) = world.0.revisions.get_mut(&spec.revision) {
                there.load = load;
            }
            now = at(now.as_second() + wait);
            foreseen_turn(&mut world, &mut object, now)?;
        }
    }
}

/// A model with two replicas of up to four, in a world at rest.
fn following() -> (ModelDeployment, Validated, Shown) {
    let targets = json!({"concurrency": 4});
    let object = common::object(json!({"autoscaling": {
        "minReplicas": 1, "maxReplicas": 4, "targets": targets,
        "behavior": {"scaleDown": {"stabilization": "60s"}},
    }}));
    let spec = validate(&object).expect("a good spec");
    let there = RevisionSeen {
        desired: 2,
        ready: 2,
        ..idle(None)
    };
    let seen = seen(
        [(spec.revision.as_str(), there)],
        weights([(spec.revision.as_str(), 100)]),
    );
    let memory = common::memory([(spec.revision.as_str(), proven())]);
    let status = common::turn(&spec, &seen, &memory, &Outcome::Skipped).status;
    let object = ModelDeployment {
        status: Some(kept(&status)),
        ..object
    };
    (object, spec, Shown(seen))
}

/// Two replicas with so many requests each, for a minute and longer.
fn running(each: f64) -> Option<LoadSeen> {
    let flow = |seconds| Flow {
        length: Duration::from_secs(seconds),
        replicas: 2.0,
        running: 2.0 * each,
        ..Flow::default()
    };
    Some(LoadSeen {
        replicas: 2,
        running: 2.0 * each,
        recent: flow(10),
        stable: flow(60),
        ..LoadSeen::default()
    })
}

/// The seconds in which a turn changes anything, of looks every two.
fn changes(
    world: &mut Shown,
    object: &mut ModelDeployment,
    revision: &str,
    load: impl Fn(i64) -> Option<LoadSeen>,
) -> Vec<i64> {
    let begin = common::now().as_second();
    let mut changed = Vec::new();
    for second in (0..120).step_by(2) {
        world.0.revisions.get_mut(revision).expect("there").load = load(second);
        if foreseen_turn(world, object, at(begin + second)).expect("as foreseen") {
            changed.push(second);
        }
    }
    changed
}

#[test]
fn a_steady_load_changes_nothing() {
    let (mut object, spec, mut world) = following();
    let steady = |_| running(4.0);
    let changed = changes(&mut world, &mut object, &spec.revision, steady);
    assert_eq!(changed, [0], "it is told once that the count follows it");
}

#[test]
fn a_load_that_rises_or_is_told_no_more_changes_something_at_once() {
    let (mut object, spec, mut world) = following();
    let load = |second| match second {
        0..40 => running(4.0),
        40..80 => None,
        _ => running(7.0),
    };
    let changed = changes(&mut world, &mut object, &spec.revision, load);
    assert_eq!(changed[..3], [0, 40, 80]);
    assert_eq!(world.0.revisions[&spec.revision].desired, 4);
}

#[test]
fn a_while_that_ends_changes_something_as_do_its_parts() {
    let (mut object, spec, mut world) = following();
    let little = |_| running(1.0);
    let changed = changes(&mut world, &mut object, &spec.revision, little);
    assert_eq!(changed[..6], [0, 12, 24, 36, 48, 60]);
    assert_eq!(world.0.revisions[&spec.revision].desired, 1);
}
