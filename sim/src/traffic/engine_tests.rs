use std::time::Duration;

use super::trace::{Request, Trace};
use super::{Bounds, Dice, Options, Outcome, Policy, ReplicaModel, Sight, simulate};

/// As many as it is told, from a moment on.
struct Steps(Vec<(u64, u32)>);

impl Policy for Steps {
    fn name(&self) -> String {
        "steps".to_owned()
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        let due = self
            .0
            .iter()
            .rev()
            .find(|(at, _)| *at <= sight.now.as_secs());
        due.map(|(_, count)| *count)
    }
}

/// Requests that come by chance, `rate` a second.
fn poisson(rate: f64, seconds: f64, prompt: u32, answer: u32) -> Trace {
    let mut dice = Dice::new(7);
    let mut at = 0.0;
    let mut requests = Vec::new();
    loop {
        at += dice.wait(rate);
        if at > seconds {
            let length = Duration::from_secs_f64(seconds);
            return Trace { requests, length };
        }
        requests.push(Request {
            at: Duration::from_secs_f64(at),
            prompt_tokens: prompt,
            generated_tokens: answer,
        });
    }
}

fn bounds(first: u32) -> Bounds {
    Bounds {
        min: 0,
        max: 20,
        first,
    }
}

fn run(trace: &Trace, model: &ReplicaModel, first: u32, steps: &[(u64, u32)]) -> Outcome {
    let mut policy = Steps(steps.to_vec());
    simulate(
        trace,
        model,
        bounds(first),
        &mut policy,
        &Options::default(),
    )
}

/// A replica that takes one request at a time, for a tenth of a second.
fn server() -> ReplicaModel {
    ReplicaModel {
        prefill_tokens_per_second: 1e9,
        step_seconds: 0.1,
        sequence_seconds: 0.0,
        max_batch: 1,
        max_queue: 10_000,
        ..ReplicaModel::default()
    }
}

#[test]
fn a_queue_is_as_long_as_theory_says() {
    // M/D/1 with a load of 0.8: the mean wait is 0.8 · 0.1 / (2 · 0.2) = 0.2 s, and half of all wait
    // less than about 0.12 s (Erlang, 1909).
    let trace = poisson(8.0, 40_000.0, 1, 1);
    let outcome = run(&trace, &server(), 1, &[]);
    let median = outcome.ttft.p50.as_secs_f64() - 0.1;
    assert!((0.10..0.15).contains(&median), "{median}");
    // Of all waits 5 in 100 are longer than 0.7 s or so: P(W > w) falls by e every 0.24 s.
    let long = outcome.ttft.p95.as_secs_f64() - 0.1;
    assert!((0.6..0.8).contains(&long), "{long}");
    assert_eq!(
        (outcome.failed, outcome.requests),
        (0, trace.requests.len() as u64)
    );
}

#[test]
fn an_answer_takes_a_step_a_token_and_its_prompt_comes_in_chunks() {
    let model = ReplicaModel {
        prefill_tokens_per_second: 1000.0,
        step_seconds: 0.01,
        sequence_seconds: 0.0,
        max_step_tokens: 512,
        ..ReplicaModel::default()
    };
    let request = Request {
        at: Duration::ZERO,
        prompt_tokens: 1000,
        generated_tokens: 11,
    };
    let trace = Trace {
        requests: vec![request],
        length: Duration::from_secs(10),
    };
    let outcome = run(&trace, &model, 1, &[]);
    // Two chunks: two steps and a second of prompt; then ten more tokens.
    assert_eq!(outcome.ttft.p50.as_millis(), 1020);
    assert_eq!(outcome.latency.p50.as_millis(), 1120);
}

#[test]
fn what_a_request_takes_beside_the_engine_is_waited_for_and_computes_nothing() {
    let trace = poisson(2.0, 1000.0, 1, 3);
    let far = ReplicaModel {
        request_seconds: 0.25,
        ..server()
    };
    let (near, far) = (run(&trace, &server(), 1, &[]), run(&trace, &far, 1, &[]));
    let later = Duration::from_millis(250);
    assert_eq!(far.ttft.p50, near.ttft.p50 + later);
    assert_eq!(far.latency.p99, near.latency.p99 + later);
    assert_eq!(far.failed, near.failed);
}

#[test]
fn sequences_share_a_batch() {
    let model = ReplicaModel {
        prefill_tokens_per_second: 1e9,
        step_seconds: 0.01,
        sequence_seconds: 0.001,
        ..ReplicaModel::default()
    };
    let request = Request {
        at: Duration::ZERO,
        prompt_tokens: 1,
        generated_tokens: 101,
    };
    let trace = Trace {
        requests: vec![request; 10],
        length: Duration::from_secs(10),
    };
    let outcome = run(&trace, &model, 1, &[]);
    // A hundred steps of ten sequences, 20 ms each, after the prompts' own.
    let latency = outcome.latency.p50.as_secs_f64();
    assert!((2.0..2.05).contains(&latency), "{latency}");
}

#[test]
fn what_is_full_refuses_and_what_is_not_there_is_waited_for() {
    let trace = poisson(8.0, 60.0, 1, 1);
    let small = ReplicaModel {
        max_queue: 0,
        ..server()
    };
    assert!(run(&trace, &small, 1, &[]).failed > 0);
    let asleep = ReplicaModel {
        start_seconds: vec![20.0],
        ..server()
    };
    let outcome = run(&trace, &asleep, 0, &[(5, 2)]);
    assert_eq!(outcome.failed, 0);
    assert!(
        outcome.ttft.p95 > Duration::from_secs(20),
        "{:?}",
        outcome.ttft
    );
}

#[test]
fn replicas_are_paid_for_from_their_order_to_the_end_of_their_drain() {
    let trace = Trace {
        requests: Vec::new(),
        length: Duration::from_secs(3600),
    };
    let model = ReplicaModel {
        start_seconds: vec![600.0],
        ..server()
    };
    let outcome = run(&trace, &model, 1, &[(1200, 3), (2400, 1)]);
    // One all the time, and two for twenty minutes.
    assert!(
        (outcome.replica_hours - (1.0 + 2.0 / 3.0)).abs() < 0.01,
        "{}",
        outcome.replica_hours
    );
    assert_eq!((outcome.scale_events, outcome.direction_changes), (2, 1));
}

#[test]
fn whoever_is_let_go_finishes_what_it_has() {
    let long = ReplicaModel {
        step_seconds: 1.0,
        max_batch: 8,
        ..server()
    };
    let trace = poisson(1.0, 100.0, 1, 30);
    let outcome = run(&trace, &long, 4, &[(30, 1), (35, 4)]);
    assert_eq!(outcome.failed, 0);
    let hurried = ReplicaModel {
        drain_seconds: 1.0,
        ..long
    };
    assert!(run(&trace, &hurried, 4, &[(30, 1), (35, 4)]).failed > 0);
}

#[test]
fn a_crash_costs_answers_that_had_begun_and_no_others() {
    let trace = poisson(4.0, 2000.0, 1, 1);
    let crashing = Options {
        crashes_per_hour: 60.0,
        ..Options::default()
    };
    let mut policy = Steps(Vec::new());
    let short = ReplicaModel {
        start_seconds: vec![5.0],
        ..server()
    };
    let outcome = simulate(&trace, &short, bounds(3), &mut policy, &crashing);
    assert_eq!(outcome.failed, 0, "one token begins and ends at once");
    assert!(outcome.ttft.p99 > run(&trace, &short, 3, &[]).ttft.p99);
}

#[test]
fn the_same_seed_gives_the_same_again() {
    let trace = poisson(20.0, 600.0, 300, 40);
    let options = |seed| Options {
        seed,
        lost_scrapes: 0.2,
        slow_replicas: 0.3,
        crashes_per_hour: 10.0,
        ..Options::default()
    };
    let outcome = |seed| {
        let mut policy = Steps(vec![(100, 5), (300, 2)]);
        simulate(
            &trace,
            &ReplicaModel::default(),
            bounds(3),
            &mut policy,
            &options(seed),
        )
    };
    assert_eq!(outcome(3), outcome(3));
    assert_ne!(outcome(3), outcome(4));
}

#[test]
fn a_replica_model_is_read_and_refused_with_a_reason() {
    let model = ReplicaModel::parse("maxBatch: 4\nstartSeconds: [3, 5]\n").expect("a model");
    assert_eq!((model.max_batch, model.start_seconds.len()), (4, 2));
    for (text, told) in [
        ("maxBatch: 0", "maxBatch: 0 is not at least 1"),
        (
            "prefillTokensPerSecond: -1",
            "prefillTokensPerSecond: -1 is not above 0",
        ),
        (
            "startSeconds: []",
            "startSeconds: [] is not a list of at least one start",
        ),
        (
            "maxStepTokens: 32",
            "maxStepTokens: 32 is not above maxBatch",
        ),
        ("max_batch: 4", "unknown field `max_batch`"),
    ] {
        let refused = ReplicaModel::parse(text).expect_err(text).to_string();
        assert!(refused.contains(told), "{refused}");
    }
}
