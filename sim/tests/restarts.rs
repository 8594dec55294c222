//! An operator that dies before or after any one of its actions ends where an undisturbed one ends.

use std::time::Duration;

use chandler_core::snapshot::Snapshot;
use chandler_crds::status::CheckVerdict;
use chandler_sim::Simulation;
use chandler_sim::gateways::Door;
use chandler_sim::simulation::{Event, model};
use chandler_sim::world::Death;
use serde_json::json;

/// A deploy, a scaling and a rollout with requests in flight, in a minute each, then removal.
/// Gives the world before the removal and the number of actions in all.
fn life(strategy: &str, death: Option<Death>) -> (Snapshot, u32, bool) {
    let mut simulation = Simulation::default();
    if let Some(death) = death {
        simulation.die(death, Duration::ZERO);
    }
    for (source, replicas) in [("a", 2), ("a", 3), ("b", 2), ("b", 0), ("b", 1)] {
        let spec = json!({
            "model": {"source": format!("file:///models/{source}")},
            "replicas": replicas,
            "rollout": {"strategy": strategy},
        });
        let object = model(&spec).expect("a good manifest");
        simulation.apply(object).expect("a turn");
        let serving = simulation.status().current_revision;
        if let Some(revision) = serving {
            simulation
                .world
                .request(&revision, 2, Duration::from_secs(20));
        }
        simulation.advance(Duration::from_secs(60)).expect("turns");
    }
    ended(simulation, death)
}

/// A model that rests, is woken and rests, and then has a new revision; with its removal.
fn life_of_a_sleeper(death: Option<Death>) -> (Snapshot, u32, bool) {
    let mut simulation = Simulation::default();
    simulation.world.set_door(Door::Open);
    if let Some(death) = death {
        simulation.die(death, Duration::ZERO);
    }
    for source in ["a", "a", "b"] {
        let spec = json!({
            "model": {"source": format!("file:///models/{source}")},
            "autoscaling": {"minReplicas": 0, "maxReplicas": 2, "idleAfter": "20s"},
        });
        let object = model(&spec).expect("a good manifest");
        simulation.apply(object).expect("a turn");
        simulation.world.arrive(3, Duration::from_secs(5));
        simulation.settle().expect("a turn");
        simulation.advance(Duration::from_secs(60)).expect("turns");
        assert_eq!(simulation.status().replicas, Some(0), "it rests");
        assert_eq!(simulation.world.waiting(), Some(0));
    }
    ended(simulation, death)
}

/// A canary whose answers are good, and one whose answers are not; with the model's removal.
fn life_of_the_judged(death: Option<Death>) -> (Snapshot, u32, bool) {
    let mut simulation = Simulation::default();
    if let Some(death) = death {
        simulation.die(death, Duration::ZERO);
    }
    for (source, score) in [("a", 1.0), ("b", 0.95), ("c", 0.4)] {
        let spec = json!({
            "model": {"source": format!("file:///models/{source}")},
            "replicas": 2,
            "rollout": {
                "steps": [{"weight": 50, "hold": "10s"}],
                "evaluation": [{
                    "name": "facts", "suiteRef": {"name": "facts"}, "metric": "contains", "maxRegression": 0.1,
                }],
            },
        });
        let object = model(&spec).expect("a good manifest");
        simulation.apply(object).expect("a turn");
        let newest = simulation.status().rollout.map(|it| it.revision);
        let newest = newest.expect("a rollout");
        simulation.world.set_answers(&newest, score);
        simulation.advance(Duration::from_secs(120)).expect("turns");
    }
    let answers = simulation.status().rollout.and_then(|it| it.answers);
    let verdict = answers.map(|it| it.evaluations[0].verdict);
    assert_eq!(verdict, Some(CheckVerdict::Failed), "dying {death:?}");
    ended(simulation, death)
}

/// Removes the model; gives the world before that, and the number of actions in all.
fn ended(mut simulation: Simulation, death: Option<Death>) -> (Snapshot, u32, bool) {
    let end = simulation.world.snapshot();
    simulation.remove().expect("a turn");
    simulation.advance(Duration::from_secs(60)).expect("turns");
    assert!(simulation.object().is_none(), "the model is still there");
    let left = simulation.world.snapshot();
    assert!(
        left.revisions.is_empty() && left.weights.is_empty(),
        "{left:?}"
    );
    assert_eq!(simulation.next(), None, "something is still to come");
    let (mut actions, mut died) = (0, false);
    for entry in simulation.take_journal() {
        match entry.event {
            Event::Turn { done, .. } => actions += u32::try_from(done.len()).expect("few"),
            Event::Died { .. } => died = true,
            Event::Harm(harm) => panic!("{harm}, dying {death:?}"),
            _ => {}
        }
    }
    (end, actions, died)
}

fn dies_everywhere(life: impl Fn(Option<Death>) -> (Snapshot, u32, bool)) {
    let (undisturbed, actions, _) = life(None);
    assert!(actions > 10, "only {actions} actions");
    for action in 1..=actions {
        for death in [Death::Before(action), Death::After(action)] {
            let (end, _, died) = life(Some(death));
            assert!(died, "never came to {death:?}");
            assert_eq!(end, undisturbed, "{death:?}");
        }
    }
}

#[test]
fn blue_green_survives_a_death_at_any_action() {
    dies_everywhere(|death| life("blueGreen", death));
}

#[test]
fn recreate_survives_a_death_at_any_action() {
    dies_everywhere(|death| life("recreate", death));
}

#[test]
fn rest_and_waking_survive_a_death_at_any_action() {
    dies_everywhere(life_of_a_sleeper);
}

#[test]
fn the_judgement_of_answers_survives_a_death_at_any_action() {
    dies_everywhere(life_of_the_judged);
}
