//! Random lives: whatever is asked for and whatever befalls it, nothing harmful is done, and once
//! it is let be the model is as its spec says.

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_core::world::Failure;
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::spec::Rollout;
use chandler_crds::status::RolloutStatus;
use chandler_sim::Simulation;
use chandler_sim::fault::{Fault, Step};
use chandler_sim::gateways::Door;
use chandler_sim::simulation::{Event, model};
use chandler_sim::traffic::{Calls, Manner};
use chandler_sim::world::{Death, Places};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

/// So many cases, the same at each run: a test that passes today does not fail tomorrow on the same tree. Where
/// `PROPTEST_CASES` is set, so many others, to hunt for what these miss.
fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig {
            cases,
            rng_seed: RngSeed::Fixed(1),
            ..config
        },
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Apply(Value),
    Advance(Duration),
    StartDelay(Duration),
    Places(Option<usize>),
    Crash(usize),
    Request(usize, Duration),
    CountRequests(bool),
    Gateways(Door),
    Arrive(usize, Duration),
    Fail(Step, Fault),
    Die(Death, Duration),
    Load(Option<Calls>),
    Silence(usize),
    SilenceAll(bool),
    Clock(SignedDuration),
    Slow(f64),
    Errors(f64),
    Answers(f64),
    Differs(f64),
    Promote,
    Abort,
    Undo,
}

fn spec() -> impl Strategy<Value = Value> {
    let scale = prop_oneof![
        (0u32..4).prop_map(|count| json!({"replicas": count})),
        (0u32..3, 1u32..4, 1u32..90, 1u32..4, 0u32..90).prop_map(|(min, more, idle, step, hold)| json!({"autoscaling": {
            "minReplicas": min, "maxReplicas": min + more, "idleAfter": format!("{idle}s"),
            "targets": {"queueWaiting": step, "concurrency": 3 * step},
            "behavior": {"scaleUp": {"maxStep": step}, "scaleDown": {"stabilization": format!("{hold}s")}},
        }})),
    ];
    let strategies = ["auto", "blueGreen", "canary", "oneOutFirst", "recreate"];
    let strategies = prop::sample::select(strategies.to_vec());
    let rest = (0u32..4, prop::bool::weighted(0.1), 0u32..40);
    let steering = (prop::bool::weighted(0.1), 1u32..300, any::<bool>(), 0u32..2);
    let steps = prop::option::of(prop::collection::btree_map(1u32..100, 0u32..180, 1..4));
    let analysis = prop::option::of((1u32..30, any::<bool>(), 1u32..60));
    let shadow = prop::option::weighted(0.3, (1i32..100, 1u32..60));
    let canary = (steps, analysis, prop::bool::weighted(0.3), shadow);
    let all = (scale, strategies, rest, steering, canary);
    all.prop_map(
        |(mut spec, strategy, (source, paused, drain), steering, canary)| {
            let (steps, analysis, judged, shadow) = canary;
            let (held, deadline, hold, attempt) = steering;
            spec["model"] = json!({"source": format!("file:///models/{source}")});
            spec["rollout"] = json!({
                "strategy": strategy, "paused": held, "progressDeadline": format!("{deadline}s"),
                "onFailure": if hold { "hold" } else { "rollback" }, "attempt": attempt,
            });
            if ["auto", "canary", "oneOutFirst"].contains(&strategy) {
                watched(&mut spec["rollout"], (steps, analysis));
            }
            if strategy != "recreate" && judged {
                let suite = json!({"name": "suite"});
                spec["rollout"]["evaluation"] =
                    json!([{"name": "a", "suiteRef": suite, "metric": "contains", "maxRegression": 0.1}]);
            }
            if let Some((percent, least)) = shadow.filter(|_| strategy != "recreate") {
                spec["rollout"]["shadow"] =
                    json!({"percent": percent, "maxDifferent": 0.2, "minPrompts": least});
            }
            spec["server"] = json!({"drainSeconds": drain});
            spec["paused"] = json!(paused);
            spec
        },
    )
}

/// Weights by their holds in seconds; percent of errors, whether it must be as fast, and fewest requests.
type Canary = (Option<BTreeMap<u32, u32>>, Option<(u32, bool, u32)>);

/// The steps of a canary, and what its traffic must look like.
fn watched(rollout: &mut Value, (steps, analysis): Canary) {
    if let Some(steps) = steps {
        let steps = steps.into_iter();
        let step = |(weight, hold)| json!({"weight": weight, "hold": format!("{hold}s")});
        rollout["steps"] = steps.map(step).collect();
    }
    if let Some((errors, fast, least)) = analysis {
        let rate = f64::from(errors) / 100.0;
        rollout["analysis"] = json!({"maxErrorRate": rate, "minRequests": least});
        if fast {
            rollout["analysis"]["maxTtftP95Ratio"] = json!(1.2);
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let length = || (0u64..60_000).prop_map(Duration::from_millis);
    let fault =
        (prop::option::weighted(0.8, 0u32..4), any::<bool>()).prop_map(|(left, transient)| {
            let failure = Failure {
                reason: "Random".to_owned(),
                message: "so it fell".to_owned(),
                transient,
            };
            Fault { failure, left }
        });
    let doors = vec![Door::None, Door::Silent, Door::Open, Door::Keyed];
    prop_oneof![
        4 => spec().prop_map(Deed::Apply),
        4 => length().prop_map(Deed::Advance),
        1 => length().prop_map(Deed::StartDelay),
        2 => prop::option::weighted(0.8, 0usize..6).prop_map(Deed::Places),
        2 => (1usize..3).prop_map(Deed::Crash),
        2 => (1usize..4, length()).prop_map(|(count, length)| Deed::Request(count, length)),
        1 => any::<bool>().prop_map(Deed::CountRequests),
        2 => prop::sample::select(doors).prop_map(Deed::Gateways),
        2 => (1usize..4, length()).prop_map(|(count, length)| Deed::Arrive(count, length)),
        2 => (prop::sample::select(Step::ALL.to_vec()), fault).prop_map(|(step, fault)| Deed::Fail(step, fault)),
        2 => (1u32..6, any::<bool>(), length()).prop_map(die),
        3 => prop::option::weighted(0.8, 1u32..20).prop_map(load),
        1 => (1usize..3).prop_map(Deed::Silence),
        1 => any::<bool>().prop_map(Deed::SilenceAll),
        1 => (1.0f64..4.0).prop_map(Deed::Slow),
        1 => (0.0f64..1.0).prop_map(Deed::Errors),
        1 => (0.0f64..1.0).prop_map(Deed::Answers),
        1 => (0.0f64..1.0).prop_map(Deed::Differs),
        1 => prop::sample::select(vec![Deed::Promote, Deed::Abort, Deed::Undo]),
        1 => (-60_000i64..60_000).prop_map(|by| Deed::Clock(SignedDuration::from_millis(by))),
    ]
}

fn load(per_second: Option<u32>) -> Deed {
    Deed::Load(per_second.map(|per_second| Calls {
        per_second: f64::from(per_second),
        prompt_tokens: 500,
        generated_tokens: 100,
    }))
}

fn die((action, before, down): (u32, bool, Duration)) -> Deed {
    let death = if before {
        Death::Before(action)
    } else {
        Death::After(action)
    };
    Deed::Die(death, down)
}

fn places(count: usize) -> Places {
    Places {
        count,
        reason: "Unschedulable".to_owned(),
    }
}

fn apply(simulation: &mut Simulation, spec: &Value) {
    let object = model(spec).expect("a good manifest");
    simulation.apply(object).expect("an end of turns");
}

/// A user steers the rollout by the spec.
fn steer(simulation: &mut Simulation, change: impl FnOnce(&mut ModelDeployment, &RolloutStatus)) {
    let rollout = simulation.status().rollout;
    if let Some((mut object, rollout)) = simulation.object().cloned().zip(rollout) {
        change(&mut object, &rollout);
        simulation.apply(object).expect("an end of turns");
    }
}

fn rollout(object: &mut ModelDeployment) -> &mut Rollout {
    object.spec.rollout.get_or_insert_default()
}

/// A commit is reverted: the spec is again what the rollout takes over from.
fn undo(simulation: &mut Simulation) {
    let revisions = simulation.status().revisions;
    steer(simulation, |object, told| {
        let mut from = revisions
            .iter()
            .filter(|it| told.from.as_ref() == Some(&it.name));
        if let Some(template) = from.next().and_then(|it| it.template.clone()) {
            object.spec.model = template.model;
            object.spec.server = template.server;
        }
    });
}

/// The revision that is rolled out answers otherwise from now on.
fn behave(simulation: &mut Simulation, change: impl FnOnce(&mut Manner)) {
    let newest = simulation.status().rollout.map(|it| it.revision);
    // Without load nobody would notice.
    let _ = simulation.world.behave(&newest.unwrap_or_default(), change);
}

fn act(simulation: &mut Simulation, deed: Deed) {
    let current = simulation.status().current_revision.unwrap_or_default();
    let world = &mut simulation.world;
    match deed {
        Deed::Apply(spec) => return apply(simulation, &spec),
        Deed::Advance(length) => return simulation.advance(length).expect("an end of turns"),
        Deed::StartDelay(length) => world.start_delay = length,
        Deed::Places(count) => world.set_places(count.map(places)),
        Deed::Crash(count) => drop(world.crash(&current, count)),
        Deed::Request(count, length) => drop(world.request(&current, count, length)),
        Deed::CountRequests(whether) => world.counts_requests = whether,
        Deed::Gateways(door) => world.set_door(door),
        Deed::Arrive(count, length) => drop(world.arrive(count, length)),
        Deed::Fail(step, fault) => world.faults.set(step, fault),
        Deed::Die(death, down) => simulation.die(death, down),
        Deed::Load(calls) => world.call(calls),
        Deed::Silence(count) => drop(world.silence(&current, count)),
        Deed::SilenceAll(are_silent) => world.silence_all(are_silent),
        Deed::Clock(by) => simulation.set_clock(by),
        Deed::Slow(slowness) => behave(simulation, |manner| manner.slowness = slowness),
        Deed::Errors(errors) => behave(simulation, |manner| manner.errors = errors),
        Deed::Differs(share) => behave(simulation, |manner| manner.differs = share),
        Deed::Answers(score) => {
            let newest = simulation.status().rollout.map(|it| it.revision);
            simulation
                .world
                .set_answers(&newest.unwrap_or_default(), score);
        }
        Deed::Promote => steer(simulation, |object, told| {
            rollout(object).promote = Some(told.revision.clone());
        }),
        Deed::Abort => steer(simulation, |object, told| {
            rollout(object).abort = Some(told.revision.clone());
        }),
        Deed::Undo => undo(simulation),
    }
    simulation.settle().expect("an end of turns");
}

fn harms(simulation: &mut Simulation) -> Vec<String> {
    let events = simulation.take_journal().into_iter();
    events
        .filter_map(|entry| match entry.event {
            Event::Harm(harm) => Some(harm),
            _ => None,
        })
        .collect()
}

fn truth(simulation: &Simulation, kind: ConditionType) -> String {
    let conditions = simulation.status().conditions;
    let found = conditions.iter().find(|it| it.type_ == kind.as_str());
    found.map(|it| it.status.clone()).unwrap_or_default()
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn no_harm_is_done_and_peace_is_reached(deeds in prop::collection::vec(deed(), 1..25)) {
        let mut simulation = Simulation::default();
        for deed in deeds {
            act(&mut simulation, deed);
        }
        for step in Step::ALL {
            simulation.world.faults.clear(step);
        }
        simulation.world.call(None);
        simulation.world.silence_all(false);
        // Just enough for what is asked for last.
        simulation.world.set_places(Some(places(2)));
        let last = json!({"model": {"source": "file:///models/0"}, "replicas": 2});
        apply(&mut simulation, &last);
        simulation.advance(Duration::from_secs(3600)).expect("an end of turns");

        prop_assert_eq!(harms(&mut simulation), Vec::<String>::new());
        prop_assert_eq!(truth(&simulation, ConditionType::Ready), "True");
        prop_assert_eq!(truth(&simulation, ConditionType::Reconciling), "False");
        prop_assert_eq!(truth(&simulation, ConditionType::Stalled), "False");
        let revisions = simulation.status().revisions;
        prop_assert!(revisions.iter().all(|it| it.failure.is_none()), "{revisions:?}");
        prop_assert_eq!(simulation.next(), None);
        prop_assert_eq!(simulation.world.waiting().unwrap_or(0), 0);

        simulation.remove().expect("an end of turns");
        simulation.advance(Duration::from_secs(3600)).expect("an end of turns");
        prop_assert_eq!(harms(&mut simulation), Vec::<String>::new());
        prop_assert!(simulation.object().is_none() && simulation.world.snapshot().revisions.is_empty());
    }
}
