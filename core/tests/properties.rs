//! What holds whatever the spec, the world and the memory are.

mod common;

use std::time::Duration;

use chandler_core::analysis::{Check, CheckSeen, Question, TrialSeen, Verdict, question};
use chandler_core::check::check;
use chandler_core::conclude::conclude;
use chandler_core::decide::{Action, Decision, decide, decide_removal};
use chandler_core::memory::Memory;
use chandler_core::schedule::Schedule;
use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_core::validate::{Replicas, TakeOver, Validated, validate};
use chandler_core::why::Why;
use chandler_core::world::{Failure, Outcome};
use chandler_crds::ModelDeploymentStatus;
use chandler_crds::spec::{Evaluation, OnFailure};
use chandler_crds::status::{CheckVerdict, EvaluationStatus, StartupTimes};
use common::random::{any_memory, any_object, any_seen, any_spec, config, named, past_memory};
use common::{lock, now};
use jiff::Timestamp;
use proptest::prelude::*;

/// Turns after which the end must be reached: resolve, create, probe, shift, drain, retire, and
/// as many again for what stood in the way; thrice that where replicas take one another's places.
const MOST_TURNS: usize = 48;

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let failed = any::<bool>().prop_map(|transient| {
        Outcome::Failed(Failure {
            reason: "Random".to_owned(),
            message: String::new(),
            transient,
        })
    });
    prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::Resolved(lock())),
        Just(Outcome::Answered(StartupTimes::default())),
        Just(Outcome::Pending { blocked: None }),
        Just(Outcome::Skipped),
        failed,
    ]
}

/// What an API server keeps of a status.
fn kept(status: &ModelDeploymentStatus) -> Memory {
    let text = serde_json::to_string(status).expect("a status is JSON");
    let status = serde_json::from_str(&text).expect("and is read back");
    Memory::from_status(Some(&status))
}

/// A world that does all it is told, at once.
fn obey(seen: &mut Snapshot, actions: &[Action]) -> Vec<Outcome> {
    for action in actions {
        match action {
            Action::Resolve { .. } | Action::Probe { .. } | Action::Evaluate { .. } => {}
            Action::EnsureRevision {
                revision, replicas, ..
            } => {
                let there = RevisionSeen {
                    desired: *replicas,
                    in_flight: Some(0),
                    ..RevisionSeen::default()
                };
                seen.revisions.insert(revision.clone(), there);
            }
            Action::Scale { revision, to, .. } => {
                seen.revisions.get_mut(revision).expect("there").desired = *to;
            }
            Action::Mend { revision, .. } => {
                seen.revisions.get_mut(revision).expect("there").drifted = false;
            }
            Action::SetTraffic { to, .. } => seen.weights.clone_from(to),
            Action::Retire { revision } => {
                seen.revisions.remove(revision);
            }
        }
    }
    for revision in seen.revisions.values_mut() {
        revision.ready = revision.desired;
        revision.failure = None;
        // Requests end in time where they are counted; where not, drains must do without.
        revision.in_flight = revision.in_flight.map(|_| 0);
    }
    let outcome = |action: &Action| match action {
        Action::Resolve { .. } => Outcome::Resolved(lock()),
        Action::Evaluate { evaluations, .. } => Outcome::Evaluated(good(evaluations)),
        _ => Outcome::Done,
    };
    actions.iter().map(outcome).collect()
}

/// Answers that are as good as they must be.
fn good(evaluations: &[Evaluation]) -> Vec<EvaluationStatus> {
    let found = evaluations.iter().map(|asked| EvaluationStatus {
        name: asked.name.clone(),
        metric: asked.metric,
        verdict: CheckVerdict::Passed,
        items: 10,
        canary: 50.0,
        stable: 50.0,
        low: None,
        high: None,
        digest: String::new(),
    });
    found.collect()
}

fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Is there anything to be done, now or at a given time? A model that is idle is looked at again
/// without anything to be done, unless nobody asks it by then; so is one with a schedule, and one whose load may let
/// it shrink.
fn at_rest(spec: &Validated, decision: &Decision) -> bool {
    let idles = |why: &Why| {
        matches!(
            why,
            Why::Awake { .. } | Why::IdleUnknown { .. } | Why::MayShrink { .. }
        )
    };
    let waits = |why: &Why| {
        matches!(
            why,
            Why::ResolveWaits { .. }
                | Why::ProbeWaits { .. }
                | Why::Draining { .. }
                | Why::StepHolds { .. }
                | Why::TrafficOpen { .. }
                | Why::ShadowOpen { .. }
        )
    };
    let has_schedule = spec.schedule != Schedule::default();
    let only_idles =
        (has_schedule || decision.why.iter().any(idles)) && !decision.why.iter().any(waits);
    decision.actions.is_empty() && (decision.wake_at.is_none() || only_idles)
}

/// A spec that no person holds up, whose steps have all the time that they need.
fn unhindered(mut spec: Validated) -> Validated {
    spec.paused = false;
    spec.rollout.paused = false;
    spec.rollout.on_failure = OnFailure::Rollback;
    spec.rollout.progress_deadline = Duration::from_secs(1_000_000);
    spec
}

/// The revision that a decision is for: the wanted one, or the one that it gave way to.
fn pursued(spec: &Validated, decision: &Decision) -> String {
    let back = decision.why.iter().find_map(|why| match why {
        Why::RolledBack { to, .. } => Some(to.clone()),
        _ => None,
    });
    back.unwrap_or_else(|| spec.revision.clone())
}

/// Replicas that the pursued revision has once all is done.
fn replicas(spec: &Validated, seen: &Snapshot, decision: &Decision) -> Option<u32> {
    let pursued = pursued(spec, decision);
    let there = seen.revisions.get(&pursued).map(|there| there.desired);
    let actions = decision.actions.iter();
    let actions = actions.filter(|action| action.revision() == Some(&pursued));
    actions.fold(there, |before, action| match action {
        Action::EnsureRevision { replicas, .. } => Some(*replicas),
        Action::Scale { to, .. } => Some(*to),
        _ => before,
    })
}

/// What the comparison of a good canary's traffic comes to.
fn passed(question: Question) -> TrialSeen {
    let check = CheckSeen {
        check: Check::Latency,
        verdict: Verdict::Passed,
        canary: Some(1.0),
        stable: Some(1.0),
        limit: 1.2,
    };
    TrialSeen {
        revision: question.revision,
        from: question.from,
        step: question.step,
        requests: 100,
        checks: vec![check],
    }
}

/// Follows decisions in a world that obeys and whose requests fare well, until there are none.
fn converge(
    spec: &Validated,
    seen: &mut Snapshot,
    memory: &mut Memory,
) -> Result<Timestamp, TestCaseError> {
    let mut now = now();
    for _ in 0..MOST_TURNS {
        let decision = decide(spec, seen, memory, now);
        let checked = check(spec, seen, &decision.memory, &decision, now);
        prop_assert!(checked.is_ok(), "{checked:?} of {decision:#?}");
        let before = seen.clone();
        let outcomes = obey(seen, &decision.actions);
        let concluded = conclude(
            &ModelDeploymentStatus::default(),
            spec,
            &before,
            &decision,
            &outcomes,
            now,
        );
        *memory = kept(&concluded.status);
        seen.trial = question(spec, memory).map(passed);
        if at_rest(spec, &decision) && *seen == before {
            return Ok(now);
        }
        // Longer than every backoff, drain and step.
        let holds = spec.rollout.steps.iter().map(|step| step.hold).sum();
        now = later(
            later(now, spec.worker.drain()),
            Duration::from_secs(600) + holds,
        );
    }
    Err(TestCaseError::fail(format!(
        "no end in {MOST_TURNS} turns: {seen:#?}"
    )))
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn nothing_panics(
        object in any_object(), seen in any_seen(), memory in any_memory(),
        outcomes in prop::collection::vec(any_outcome(), 0..8),
    ) {
        match validate(&object) {
            Err(invalid) => prop_assert!(invalid.iter().all(|it| !it.message.is_empty())),
            Ok(spec) => {
                let (seen, memory) = named(&spec, seen, memory);
                let decision = decide(&spec, &seen, &memory, now());
                let before = ModelDeploymentStatus::default();
                let concluded = conclude(&before, &spec, &seen, &decision, &outcomes, now());
                prop_assert!(!concluded.status.conditions.is_empty());
            }
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_decision(
        spec in any_spec(), seen in any_seen(), memory in any_memory(),
    ) {
        let (seen, memory) = named(&spec, seen, memory);
        let decision = decide(&spec, &seen, &memory, now());
        prop_assert_eq!(&decision, &decide(&spec, &seen, &memory, now()));
        prop_assert!(!spec.paused || decision.actions.is_empty());
        prop_assert!(!decision.why.is_empty(), "nothing is told");
        prop_assert!(decision.actions.len() <= decision.why.len());
    }

    #[test]
    fn every_decision_keeps_the_rules(
        spec in any_spec(), seen in any_seen(), memory in any_memory(),
    ) {
        let (seen, memory) = named(&spec, seen, memory);
        let decision = decide(&spec, &seen, &memory, now());
        let checked = check(&spec, &seen, &decision.memory, &decision, now());
        prop_assert!(checked.is_ok(), "{checked:?} of {decision:#?}");
    }

    #[test]
    fn decisions_come_to_an_end(
        spec in any_spec(), seen in any_seen(), memory in past_memory(),
    ) {
        let spec = unhindered(spec);
        let (mut seen, mut memory) = named(&spec, seen, memory);
        let now = converge(&spec, &mut seen, &mut memory)?;

        let again = decide(&spec, &seen, &memory, now);
        prop_assert!(at_rest(&spec, &again), "{again:#?}");
        let end = pursued(&spec, &again);
        prop_assert!(again.memory.revisions[&end].failure.is_none());
        let names: Vec<&String> = seen.revisions.keys().collect();
        prop_assert_eq!(names, [&end]);
        let count = seen.revisions[&end].desired;
        let (min, max) = spec.bounds(now);
        prop_assert!((min..=max).contains(&count), "{count} of {min} to {max}");
        let weights = match count {
            0 => Weights::new(),
            _ => Weights::from([(end, 100)]),
        };
        prop_assert_eq!(seen.weights, weights);
    }

    #[test]
    fn what_is_not_told_puts_no_model_to_rest(
        spec in any_spec(), seen in any_seen(), memory in any_memory(),
    ) {
        let (seen, memory) = named(&spec, seen, memory);
        let decision = decide(&spec, &seen, &memory, now());
        let there = seen.revisions.get(&spec.revision);
        let falls = |action: &Action| matches!(action, Action::Scale { to: 0, .. });
        let scales = matches!(spec.replicas, Replicas::Scaled { .. });
        if scales && decision.actions.iter().any(falls) {
            let gateways = seen.gateways.as_ref().expect("gateways that could wake it");
            let told = gateways.idle.zip(there.and_then(|there| there.idle));
            prop_assert!(told.is_some() && gateways.waiting == 0);
            prop_assert!(decision.memory.revisions[&spec.revision].answered_at.is_some());
        }
    }

    #[test]
    fn who_waits_never_costs_a_replica(
        spec in any_spec(), seen in any_seen(), memory in any_memory(), more in 1u64..9,
    ) {
        let (few, memory) = named(&spec, seen, memory);
        let mut many = few.clone();
        if let Some(gateways) = &mut many.gateways {
            gateways.waiting = gateways.waiting.saturating_add(more);
        }
        let [few, many] = [few, many].map(|seen| {
            let decision = decide(&spec, &seen, &memory, now());
            let rollout = decision.memory.rollout.as_ref();
            // A replica that takes another one's place waits until that is free.
            let is_in_place = rollout.is_some_and(|it| it.in_place().is_some());
            (!is_in_place).then(|| replicas(&spec, &seen, &decision))
        });
        if let Some((few, many)) = few.zip(many) {
            prop_assert!(few <= many, "{few:?} of few, {many:?} of many");
        }
    }

    #[test]
    fn removal_leaves_nothing_and_cuts_nothing(
        spec in any_spec(), seen in any_seen(), memory in past_memory(),
    ) {
        let (mut seen, mut memory) = named(&spec, seen, memory);
        let mut now = now();
        for _ in 0..MOST_TURNS {
            let decision = decide_removal(&spec, &seen, &memory, now);
            for action in &decision.actions {
                let Action::Retire { revision } = action else { continue };
                prop_assert_eq!(seen.weight(revision), 0);
                let idle = seen.revisions[revision].in_flight == Some(0);
                let since = decision.memory.revisions[revision].draining_since.expect("noted");
                prop_assert!(idle || later(since, spec.worker.drain()) <= now);
            }
            memory = decision.memory;
            obey(&mut seen, &decision.actions);
            now = later(later(now, spec.worker.drain()), Duration::from_secs(1));
        }
        (seen.gateways, seen.trial, seen.room) = (None, None, None);
        prop_assert_eq!(seen, Snapshot::default());
    }

    #[test]
    fn memory_survives_status_as_json(
        spec in any_spec(), seen in any_seen(), memory in past_memory(),
    ) {
        let (seen, memory) = named(&spec, seen, memory);
        let decision = Decision { memory, ..Decision::default() };
        let before = ModelDeploymentStatus::default();
        let concluded = conclude(&before, &spec, &seen, &decision, &[], now());
        prop_assert_eq!(kept(&concluded.status), decision.memory);
    }

    #[test]
    fn what_has_traffic_starts_its_drain_anew(
        spec in any_spec(), seen in any_seen(), memory in any_memory(),
    ) {
        let (seen, memory) = named(&spec, seen, memory);
        let decision = decide(&spec, &seen, &memory, now());
        for (name, known) in &decision.memory.revisions {
            prop_assert!(seen.weight(name) == 0 || known.draining_since.is_none());
        }
    }
}

/// Every hour of the day that a floor can begin or end at.
const HOURS: std::ops::Range<i64> = 0..24;

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn no_fewer_than_a_floor_that_holds(
        seen in any_seen(), memory in any_memory(), hours in (HOURS, 1..23i64),
        counts in (0u32..3, 1u32..5), second in 0i64..10_000_000, recreate in any::<bool>(),
    ) {
        let ((start, lasts), (min, floor)) = (hours, counts);
        let end = (start + lasts) % HOURS.end;
        let spec = common::spec(serde_json::json!({
            "autoscaling": {"minReplicas": min, "maxReplicas": 5, "schedule": [{
                "start": format!("0 {start} * * *"), "end": format!("0 {end} * * *"),
                "minReplicas": floor,
            }]},
            "rollout": {"strategy": if recreate { "recreate" } else { "blueGreen" }},
        }));
        let now = Timestamp::from_second(second).expect("in range");
        let (seen, memory) = named(&spec, seen, memory);
        let decision = decide(&spec, &seen, &memory, now);
        let hour = second / 3600 % HOURS.end;
        let holds = (hour - start).rem_euclid(HOURS.end) < lasts;
        prop_assert_eq!(spec.floor(now).is_some(), holds);
        // Where one revision takes the places of another, both have them together.
        let rollout = decision.memory.rollout.as_ref();
        let is_whole = rollout.is_none_or(|it| it.in_place().is_none());
        let holds_for_one = holds && is_whole;
        if let Some(count) = replicas(&spec, &seen, &decision).filter(|_| holds_for_one) {
            let scales = |action: &Action| matches!(action, Action::Scale { .. });
            let there = seen.revisions.get(&pursued(&spec, &decision));
            let there = there.map_or(0, |there| there.desired);
            // A count that is not changed is one that a step before it holds up.
            prop_assert!(count >= floor || (count == there && !decision.actions.iter().any(scales)));
        }
        let known = &decision.memory.revisions[&pursued(&spec, &decision)];
        if holds_for_one && spec.rollout.strategy == TakeOver::BlueGreen && known.lock.is_some() {
            prop_assert!(replicas(&spec, &seen, &decision).is_some_and(|count| count >= floor));
        }
        let change = (start + if holds { lasts } else { 0 }) * 3600;
        let wait = (change - second).rem_euclid(86_400);
        let wait = if wait == 0 { 86_400 } else { wait };
        let look = decision.wake_at.expect("a look").duration_since(now).as_secs();
        prop_assert!(look <= wait, "{look} of {wait}");
    }
}
