//! An operator that dies before or after any one of its actions ends where an undisturbed one ends.

use std::time::Duration;

use chandler_core::snapshot::Snapshot;
use chandler_sim::Simulation;
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
    let end = simulation.world.snapshot();
    simulation.remove().expect("a turn");
    simulation.advance(Duration::from_secs(60)).expect("turns");
    assert!(simulation.object().is_none(), "the model is still there");
    assert_eq!(simulation.world.snapshot(), Snapshot::default());
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

fn dies_everywhere(strategy: &str) {
    let (undisturbed, actions, _) = life(strategy, None);
    assert!(actions > 10, "only {actions} actions");
    for action in 1..=actions {
        for death in [Death::Before(action), Death::After(action)] {
            let (end, _, died) = life(strategy, Some(death));
            assert!(died, "never came to {death:?}");
            assert_eq!(end, undisturbed, "{death:?}");
        }
    }
}

#[test]
fn blue_green_survives_a_death_at_any_action() {
    dies_everywhere("blueGreen");
}

#[test]
fn recreate_survives_a_death_at_any_action() {
    dies_everywhere("recreate");
}
