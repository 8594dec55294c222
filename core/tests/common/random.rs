//! Random specs, worlds and memories. `TARGET` stands for the revision that the spec wants.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use chandler_core::analysis::{Check, CheckSeen, TrialSeen, Verdict};
use chandler_core::load::{Flow, LoadSeen, Trail};
use chandler_core::memory::{FailureMemory, Memory, RevisionMemory};
use chandler_core::rollout::{End, InPlace, Plan, RolloutMemory, Stage};
use chandler_core::snapshot::{
    FailureSeen, GatewaysSeen, RevisionSeen, RoomSeen, Snapshot, Weights,
};
use chandler_core::validate::Validated;
use chandler_crds::ModelDeployment;
use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::spec::{EvaluationMetric, Task};
use chandler_crds::status::{AnswersStatus, CheckVerdict, EvaluationStatus};
use jiff::Timestamp;
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const TARGET: &str = "target";

/// So many cases, the same at each run: a test that passes today does not fail tomorrow on the same tree. Where
/// `PROPTEST_CASES` is set, so many others, to hunt for what these miss.
pub(crate) fn config(cases: u32) -> ProptestConfig {
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

/// Small numbers mostly, any now and then.
fn number() -> BoxedStrategy<i32> {
    prop_oneof![8 => -1..5, 1 => any::<i32>()].boxed()
}

fn count() -> BoxedStrategy<u32> {
    prop_oneof![16 => 0u32..5, 1 => Just(u32::MAX), 1 => any::<u32>()].boxed()
}

fn word() -> BoxedStrategy<String> {
    prop_oneof![
        Just("file:///models/a".to_owned()),
        Just("hf://org/name".to_owned()),
        Just("file://relative".to_owned()),
        Just(String::new()),
        any::<String>(),
    ]
    .boxed()
}

fn task() -> BoxedStrategy<&'static str> {
    let tasks = [Task::Auto, Task::Chat, Task::Embedding, Task::Rerank];
    prop::sample::select(tasks.map(Task::as_str).to_vec()).boxed()
}

/// A spec's fields: good with `tame`, else of any kind that the types can hold.
fn fields(tame: bool) -> BoxedStrategy<Value> {
    let natural = || (0..5).boxed();
    let number = move || if tame { natural() } else { number() };
    let model = (word(), option::of(word()), task(), number());
    let rests = ["1m", "5m", "1s", "0s", "-5s"];
    let rests = rests[..if tame { 3 } else { 5 }].to_vec();
    let rests = option::of(prop::sample::select(rests));
    let scale = prop_oneof![
        number().prop_map(|count| json!({"replicas": count})),
        (number(), number(), rests, schedule(tame)).prop_map(
            move |(min, max, idle_after, mut schedule)| {
                let max = if tame { min + max.max(1) } else { max };
                for floor in schedule.iter_mut().flatten().filter(|_| tame) {
                    floor["minReplicas"] =
                        json!(floor["minReplicas"].as_i64().min(Some(max.into())));
                }
                json!({"autoscaling": {
                    "minReplicas": min, "maxReplicas": max, "idleAfter": idle_after,
                    "schedule": schedule,
                }})
            }
        ),
    ];
    let strategies = ["auto", "blueGreen", "recreate", "canary", "oneOutFirst"];
    let strategies = strategies.to_vec();
    let spans = ["10m", "1s", "2540400h", "0s", "-5s"];
    let spans = spans[..if tame { 3 } else { 5 }].to_vec();
    let rest = (
        (prop::sample::select(strategies), steering()),
        option::of(prop::sample::select(spans)),
        option::of(number()),
        prop::bool::weighted(0.1),
        prop::bool::weighted(if tame { 0.0 } else { 0.2 }),
    );
    let put = move |(mut spec, model, rest): (Value, _, _)| {
        let (source, revision, task, length): (String, Option<String>, &str, i32) = model;
        let ((strategy, steering), deadline, drain, paused, both) = rest;
        let mut steering: Value = steering;
        spec["model"] = json!({"source": source, "revision": revision});
        if tame {
            spec["model"]["source"] = json!(source.replace("file://relative", "file:///a"));
        } else {
            spec["model"]["task"] = json!(task);
            spec["model"]["maxModelLen"] = json!(length);
        }
        if tame && ["blueGreen", "recreate"].contains(&strategy) {
            steering["steps"] = Value::Null;
            steering["analysis"] = Value::Null;
        }
        if tame && strategy == "recreate" {
            steering["evaluation"] = Value::Null;
            steering["shadow"] = Value::Null;
        }
        steering["strategy"] = json!(strategy);
        steering["progressDeadline"] = json!(deadline);
        spec["rollout"] = steering;
        spec["server"] = json!({"drainSeconds": drain});
        spec["paused"] = json!(paused);
        if both {
            spec["replicas"] = json!(length);
        }
        spec
    };
    (scale, model, rest).prop_map(put).boxed()
}

/// Steps of a canary, and what a person asks of its rollout.
fn steering() -> impl Strategy<Value = Value> {
    let steps = [
        json!(null),
        json!([{"weight": 20}, {"weight": 60, "hold": "30s"}]),
        json!([{"weight": 1, "hold": "2h"}, {"weight": 100}]),
    ];
    let asked = ["promote", "abort", "nothing"].to_vec();
    let asked = prop_oneof![4 => Just("nothing"), 1 => prop::sample::select(asked)];
    let failure = prop::sample::select(["rollback", "hold"].to_vec());
    let steps = prop::sample::select(steps.to_vec());
    let chances = [0.2, 0.4, 0.3, 0.3].map(prop::bool::weighted);
    let all = (steps, failure, chances, asked);
    all.prop_map(
        |(steps, failure, [paused, compared, judged, aside], asked)| {
            let mut all = json!({"steps": steps, "onFailure": failure, "paused": paused});
            if compared {
                all["analysis"] = json!({"maxLatencyP95Ratio": 1.2});
            }
            if judged {
                let suite = json!({"name": "suite"});
                all["evaluation"] =
                    json!([{"name": "a", "suiteRef": suite, "metric": "chrf", "min": 40}]);
            }
            if aside {
                all["shadow"] = json!({"percent": 5, "maxDifferent": 0.2});
            }
            if asked != "nothing" {
                all[asked] = json!(TARGET);
            }
            all
        },
    )
}

/// Some floors, of up to five replicas.
fn schedule(tame: bool) -> BoxedStrategy<Option<Vec<Value>>> {
    let times = [
        "0 8 * * *",
        "30 13 * * 1-5",
        "0 */6 1-31/2 * *",
        "15 2 29 2 *",
        "0 0 31 2 *",
        "8 o'clock",
    ];
    let times = prop::sample::select(times[..if tame { 4 } else { 6 }].to_vec());
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Nowhere"];
    let zones = prop::sample::select(zones[..if tame { 3 } else { 4 }].to_vec());
    let replicas = if tame { (1..=5).boxed() } else { number() };
    let floor = (times.clone(), times, option::of(zones), replicas);
    let floor = floor.prop_filter("an end", move |it| !tame || it.0 != it.1);
    let floor = floor.prop_map(|(start, end, zone, replicas)| {
        json!({"start": start, "end": end, "timeZone": zone, "minReplicas": replicas})
    });
    option::of(prop::collection::vec(floor, 0..4)).boxed()
}

/// Objects of every kind, most of them invalid.
pub(crate) fn any_object() -> impl Strategy<Value = ModelDeployment> {
    let metadata = (option::of(any::<String>()), option::of(any::<i64>()));
    (fields(false), metadata).prop_map(|(fields, (name, generation))| {
        let mut object = super::object(fields);
        object.metadata.name = name;
        object.metadata.generation = generation;
        object
    })
}

/// Objects whose specs are valid.
pub(crate) fn good_object() -> impl Strategy<Value = ModelDeployment> {
    fields(true).prop_map(super::object)
}

/// Specs that are valid.
pub(crate) fn any_spec() -> impl Strategy<Value = Validated> {
    fields(true).prop_map(|fields| {
        let mut spec = super::spec(fields);
        for name in [&mut spec.rollout.promote, &mut spec.rollout.abort] {
            *name = name.take().map(|_| spec.revision.clone());
        }
        spec
    })
}

/// Times that JSON keeps, most of them before the tests' now.
fn time(range: RangeInclusive<i64>) -> BoxedStrategy<Timestamp> {
    let microsecond = range.prop_map(|it| Timestamp::from_microsecond(it).expect("in range"));
    microsecond.boxed()
}

fn past() -> BoxedStrategy<Timestamp> {
    time(0..=super::now().as_microsecond())
}

fn any_time() -> BoxedStrategy<Timestamp> {
    let all = Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond();
    prop_oneof![4 => past(), 1 => time(all)].boxed()
}

fn name() -> BoxedStrategy<String> {
    let names = [TARGET, "old", "older", "oldest"].map(str::to_owned);
    prop::sample::select(names.to_vec()).boxed()
}

/// Lengths about those that models rest after, and unknown ones.
fn idle() -> BoxedStrategy<Option<Duration>> {
    let seconds = prop_oneof![4 => 0u64..400, 1 => any::<u64>()];
    option::weighted(0.8, seconds.prop_map(Duration::from_secs)).boxed()
}

fn gateways_seen() -> impl Strategy<Value = GatewaysSeen> {
    let waiting = prop_oneof![4 => Just(0), 2 => 1u64..3, 1 => any::<u64>()];
    let all = (waiting, idle(), option::of(any::<bool>()));
    all.prop_map(|(waiting, idle, open)| GatewaysSeen {
        waiting,
        idle,
        open,
    })
}

fn revision_seen() -> impl Strategy<Value = RevisionSeen> + Clone {
    let in_flight = option::weighted(0.8, prop_oneof![4 => 0u64..3, 1 => any::<u64>()]);
    let failure = option::weighted(0.2, (count(), any_time(), any::<bool>()));
    let drifted = prop::bool::weighted(0.1);
    let all = (
        count(),
        count(),
        in_flight,
        idle(),
        load(),
        drifted,
        failure,
    );
    all.prop_map(
        |(desired, ready, in_flight, idle, load, drifted, failure)| {
            let failure = failure.map(|(attempts, at, transient)| FailureSeen {
                reason: "Random".to_owned(),
                message: String::new(),
                attempts,
                at,
                transient,
            });
            RevisionSeen {
                desired,
                ready,
                in_flight,
                idle,
                load,
                drifted,
                failure,
            }
        },
    )
}

/// What replicas may have told: from nothing to far too much of everything.
pub(crate) fn load() -> impl Strategy<Value = Option<LoadSeen>> + Clone {
    let flow = |longest: u64| {
        let numbers = (0f64..8.0, 0f64..100.0, 0f64..500.0, 0f64..90_000.0);
        let times = (0..=longest, option::of(0u64..9_000));
        (numbers, times).prop_map(
            |((replicas, waiting, requests, tokens), (length, ttft))| Flow {
                length: Duration::from_secs(length),
                replicas,
                waiting,
                arrived: requests,
                ended: requests,
                first_tokens: requests,
                prompt_tokens: tokens,
                generation_tokens: tokens,
                ttft_p95: ttft.map(Duration::from_millis),
                ..Flow::default()
            },
        )
    };
    let all = (count(), 0f64..100.0, flow(10), flow(60));
    option::weighted(
        0.3,
        all.prop_map(|(replicas, waiting, recent, stable)| LoadSeen {
            replicas,
            waiting,
            recent,
            stable,
            ..LoadSeen::default()
        }),
    )
}

/// Some by name, most often the wanted one among them.
fn by_name<T: std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = BTreeMap<String, T>> {
    let target = option::weighted(0.8, value.clone());
    (btree_map(name(), value, 0..4), target).prop_map(|(mut all, target)| {
        if let Some(target) = target {
            all.insert(TARGET.to_owned(), target);
        }
        all
    })
}

/// Worlds of every kind: also such that no operator makes.
pub(crate) fn any_seen() -> impl Strategy<Value = Snapshot> {
    let all_to_one = name().prop_map(|name| Weights::from([(name, 100)]));
    let weight = prop_oneof![4 => 0u32..101, 1 => any::<u32>()];
    let weights = prop_oneof![
        1 => Just(Weights::new()),
        4 => all_to_one,
        2 => by_name(weight),
    ];
    let gateways = option::weighted(0.8, gateways_seen());
    let trial = option::weighted(0.5, trial_seen());
    let room = option::of((0u32..6, option::of(Just("short".to_owned()))));
    let all = (by_name(revision_seen()), weights, gateways, trial, room);
    all.prop_map(|(revisions, weights, gateways, trial, room)| Snapshot {
        revisions,
        weights,
        gateways,
        trail: Trail::default(),
        trial,
        untold: None,
        room: room.map(|(replicas, short_of)| RoomSeen { replicas, short_of }),
    })
}

/// What the comparison of any revision's traffic with any other's has come to, at any step.
fn trial_seen() -> impl Strategy<Value = TrialSeen> {
    let from = prop_oneof![1 => name(), 3 => Just("old".to_owned())];
    let verdicts = [Verdict::Open, Verdict::Passed, Verdict::Failed].to_vec();
    let check = (prop::sample::select(verdicts), option::of(any::<f64>()));
    let check = check.prop_map(|(verdict, value)| CheckSeen {
        check: Check::Latency,
        verdict,
        canary: value,
        stable: value,
        limit: 1.2,
    });
    let all = (name(), from, 0u32..5, 0u64..200, check);
    all.prop_map(|(revision, from, step, requests, check)| TrialSeen {
        revision,
        from,
        step,
        requests,
        checks: vec![check],
    })
}

fn revision_memory(
    time: fn() -> BoxedStrategy<Timestamp>,
) -> impl Strategy<Value = RevisionMemory> + Clone {
    let attempts = prop_oneof![4 => 0u32..9, 1 => 0..=i32::MAX.unsigned_abs()];
    let failure = (any::<String>(), attempts, time(), any::<bool>());
    let times = (time(), option::weighted(0.7, time()), option::of(time()));
    let lock = option::weighted(0.9, any::<u64>());
    (times, lock, option::weighted(0.3, failure)).prop_map(|(times, lock, failure)| {
        let lock = lock.map(|size| {
            let mut lock = super::lock();
            lock.files[0].size = size;
            lock.files.push(lock.files[0].clone());
            lock
        });
        let failure = failure.map(|(message, attempts, at, transient)| FailureMemory {
            reason: "Random".to_owned(),
            message,
            attempts,
            at,
            transient,
        });
        RevisionMemory {
            created_at: times.0,
            template: None,
            lock,
            answered_at: times.1,
            startup: None,
            capacity: None,
            draining_since: times.2,
            failure,
            rejected: None,
        }
    })
}

/// Memories of every kind.
pub(crate) fn any_memory() -> impl Strategy<Value = Memory> {
    remembered(any_time)
}

/// Memories of what has been.
pub(crate) fn past_memory() -> impl Strategy<Value = Memory> {
    remembered(past)
}

fn remembered(time: fn() -> BoxedStrategy<Timestamp>) -> impl Strategy<Value = Memory> {
    let all = (by_name(revision_memory(time)), option::of(rollout(time)));
    all.prop_map(|(revisions, rollout)| Memory {
        revisions,
        rollout,
        ..Memory::default()
    })
}

/// How far any revision's rollout may be, from any other.
fn rollout(time: fn() -> BoxedStrategy<Timestamp>) -> impl Strategy<Value = RolloutMemory> {
    let names = (name(), option::weighted(0.8, Just("old".to_owned())));
    let times = (time(), time(), option::of(time()));
    let end = time().prop_map(|at| End {
        at,
        reason: "Random".to_owned(),
        message: "by chance".to_owned(),
    });
    let stage = prop_oneof![
        4 => Just(Stage::Progressing),
        1 => Just(Stage::Paused),
        1 => end.clone().prop_map(Stage::Completed),
        1 => end.prop_map(Stage::Failed),
    ];
    let policy = prop::sample::select(["same", "other"].to_vec());
    let verdicts = [None, Some(CheckVerdict::Passed), Some(CheckVerdict::Failed)];
    let verdict = prop::sample::select(verdicts.to_vec());
    let in_place = (0u32..3, 0u32..6, 0u32..6);
    let in_place = in_place.prop_map(|(surge, replicas, reached)| InPlace {
        surge,
        replicas,
        reached,
    });
    let plan = (Just("random".to_owned()), option::of(in_place));
    let plan = option::of(plan.prop_map(|(message, in_place)| Plan { message, in_place }));
    let all = (names, times, stage, (0u32..5, verdict), policy, plan);
    all.prop_map(
        |(names, times, stage, (step, verdict), policy, plan)| RolloutMemory {
            revision: names.0,
            from: names.1,
            plan,
            stage,
            step,
            step_began_at: times.1,
            held_since: times.2,
            began_at: times.0,
            policy: policy.to_owned(),
            analysis: None,
            answers: verdict.map(answers),
        },
    )
}

fn answers(verdict: CheckVerdict) -> AnswersStatus {
    let found = EvaluationStatus {
        name: "a".to_owned(),
        metric: EvaluationMetric::Chrf,
        verdict,
        items: 10,
        canary: 45.0,
        stable: 50.0,
        low: Some(-7.0),
        high: Some(-3.0),
        digest: String::new(),
    };
    AnswersStatus {
        at: MicroTime(Timestamp::UNIX_EPOCH),
        evaluations: vec![found],
    }
}

/// Puts the wanted revision's name for its stand-in, and that of a revision that can be made again
/// for `old`.
pub(crate) fn named(
    spec: &Validated,
    mut seen: Snapshot,
    mut memory: Memory,
) -> (Snapshot, Memory) {
    let (old, known) = super::restorable(spec);
    for (stand_in, name) in [(TARGET, &spec.revision), ("old", &old)] {
        rename(&mut seen.revisions, stand_in, name);
        rename(&mut seen.weights, stand_in, name);
        rename(&mut memory.revisions, stand_in, name);
        if let Some(trial) = &mut seen.trial {
            for it in [&mut trial.revision, &mut trial.from] {
                if it == stand_in {
                    it.clone_from(name);
                }
            }
        }
        if let Some(rollout) = &mut memory.rollout {
            let names = [&mut rollout.revision].into_iter().chain(&mut rollout.from);
            for it in names.filter(|it| *it == stand_in) {
                it.clone_from(name);
            }
        }
    }
    if let Some(it) = memory.revisions.get_mut(&old) {
        it.template = known.template;
    }
    if let Some(rollout) = memory.rollout.as_mut().filter(|it| it.policy == "same") {
        rollout.policy.clone_from(&spec.rollout.hash);
    }
    (seen, memory)
}

fn rename<T>(all: &mut BTreeMap<String, T>, from: &str, to: &str) {
    if let Some(it) = all.remove(from) {
        all.insert(to.to_owned(), it);
    }
}
