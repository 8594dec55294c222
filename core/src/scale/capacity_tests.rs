use std::time::Duration;

use jiff::Timestamp;

use super::capacity::{self, Capacity, Strain};
use super::reach::Reach;
use crate::load::{Flow, LoadSeen, RECENT, STABLE};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

/// A replica that reads and writes so many tokens a second.
fn flow(length: Duration, tokens: f64) -> Flow {
    let sum = tokens * length.as_secs_f64();
    Flow {
        length,
        replicas: 1.0,
        running: 4.0,
        prompt_tokens: sum,
        generation_tokens: sum,
        // As much time as its writing takes.
        prefill_seconds: length.as_secs_f64() / 2.0,
        first_tokens: 20.0,
        ended: 20.0,
        ..Flow::default()
    }
}

fn load(recent: f64, stable: f64) -> LoadSeen {
    LoadSeen {
        replicas: 1,
        recent: flow(RECENT, recent),
        stable: flow(STABLE, stable),
        ..LoadSeen::default()
    }
}

/// One that does a hundred tokens a second each way, known for a long time.
fn known(strained_at: Option<i64>) -> Option<Capacity> {
    Some(Capacity {
        prefill: 200.0,
        decode: 200.0,
        requests: 2.0,
        at: at(0),
        strained_at: strained_at.map(at),
    })
}

/// Where the reach of replicas is not known.
fn learn(
    before: Option<Capacity>,
    load: &LoadSeen,
    strain: Strain,
    now: Timestamp,
) -> Option<Capacity> {
    capacity::learn(before, load, strain, None, now)
}

/// What is known after a calm look at replicas that reach so many tokens a second each way.
fn reaching(before: Option<Capacity>, strain: Strain, tokens: f64) -> Capacity {
    let reach = Reach {
        prefill: 2.0 * tokens,
        decode: 2.0 * tokens,
    };
    let learned = capacity::learn(before, &load(50.0, 50.0), strain, Some(reach), at(10_000));
    learned.expect("known")
}

/// The share of what was known before that is known after.
fn share(load: &LoadSeen, strain: Strain, strained_at: Option<i64>) -> f64 {
    let learned = learn(known(strained_at), load, strain, at(10_000));
    learned.expect("known").prefill / 200.0
}

#[test]
fn what_a_model_that_writes_nothing_can_do_is_learned_too() {
    let mut embeddings = load(50.0, 50.0);
    for flow in [&mut embeddings.recent, &mut embeddings.stable] {
        flow.first_tokens = 0.0;
        flow.generation_tokens = 0.0;
    }
    let learned = learn(None, &embeddings, Strain::Within, at(60)).expect("something is known");
    assert_eq!(learned.requests, 20.0 / 60.0);
    assert_eq!(learned.work(50.0, 0.0), 1.0);
}

#[test]
fn the_first_window_is_taken_for_all_that_a_replica_can_do() {
    let first = learn(None, &load(100.0, 100.0), Strain::Within, at(5)).expect("known");
    assert!((first.work(100.0, 100.0) - 1.0).abs() < 1e-9, "{first:?}");
    assert_eq!((first.strained_at, first.at), (None, at(5)));
    let mut few = load(100.0, 100.0);
    (few.stable.first_tokens, few.stable.ended) = (3.0, 3.0);
    assert_eq!(learn(None, &few, Strain::Within, at(5)), None);
}

#[test]
fn more_that_was_done_well_shows_that_more_can_be_done() {
    assert_eq!(share(&load(130.0, 130.0), Strain::Within, None), 1.3);
    assert_eq!(
        share(&load(104.0, 104.0), Strain::Within, None),
        1.0,
        "no news"
    );
    assert_eq!(share(&load(50.0, 50.0), Strain::Within, None), 1.0);
}

#[test]
fn under_strain_less_is_known_to_be_possible_but_not_all_at_once() {
    assert!((share(&load(93.0, 80.0), Strain::Over, None) - 0.93).abs() < 1e-9);
    assert!((share(&load(70.0, 94.0), Strain::Over, None) - 0.94).abs() < 1e-9);
    assert_eq!(share(&load(20.0, 20.0), Strain::Over, None), 0.9);
    let strained = learn(known(None), &load(20.0, 20.0), Strain::Over, at(10_000));
    let strained = strained.expect("known");
    assert_eq!(strained.strained_at, Some(at(10_000)));
    let at_once = learn(Some(strained), &load(20.0, 20.0), Strain::Over, at(10_002));
    assert_eq!(at_once, Some(strained), "the same seconds teach once");
}

#[test]
fn what_was_never_too_much_is_tried_step_by_step() {
    let calm = load(90.0, 90.0);
    assert!((share(&calm, Strain::Slack, None) - 1.1).abs() < 1e-9);
    assert_eq!(
        share(&calm, Strain::Slack, Some(9_000)),
        1.0,
        "an hour of peace"
    );
    assert!((share(&calm, Strain::Slack, Some(6_000)) - 1.1).abs() < 1e-9);
    let tried = learn(known(None), &calm, Strain::Slack, at(10_000));
    assert_eq!(
        learn(tried, &calm, Strain::Slack, at(10_030)),
        tried,
        "a minute each"
    );
    // The clock was set back since.
    let later = Capacity {
        at: at(99_999),
        ..known(None).expect("known")
    };
    assert!(
        learn(Some(later), &calm, Strain::Slack, at(10_000))
            .expect("known")
            .prefill
            > 200.0
    );
}

#[test]
fn what_a_written_token_costs_is_learned_while_there_is_no_strain() {
    let mut dear = load(100.0, 100.0);
    // Of a minute a tenth was reading: a token that is written costs nine times as much.
    dear.stable.prefill_seconds = 6.0;
    let first = learn(None, &dear, Strain::Within, at(0)).expect("known");
    assert!(
        (first.prefill / first.decode - 9.0).abs() < 1e-9,
        "{first:?}"
    );
    let cheaper = load(100.0, 100.0);
    let strained = learn(Some(first), &cheaper, Strain::Over, at(60)).expect("known");
    assert!(
        (strained.prefill / strained.decode - 9.0).abs() < 1e-9,
        "{strained:?}"
    );
    let calm = learn(Some(first), &cheaper, Strain::Within, at(60)).expect("known");
    assert!((calm.prefill / calm.decode - 1.0).abs() < 1e-9, "{calm:?}");
    assert!(
        (calm.work(100.0, 100.0) - 1.0).abs() < 1e-9,
        "the work is as much as before"
    );
}

#[test]
fn how_far_replicas_reach_is_known_without_trouble() {
    for (strained_at, strain, tokens, expected) in [
        (None, Strain::Within, 300.0, 300.0),
        (None, Strain::Within, 104.0, 100.0),
        (None, Strain::Within, 60.0, 60.0),
        // What trouble taught is not believed to be wrong at once.
        (Some(9_000), Strain::Within, 300.0, 100.0),
        (Some(9_000), Strain::Slack, 300.0, 110.0),
        (Some(9_000), Strain::Within, 60.0, 60.0),
        (Some(6_000), Strain::Within, 300.0, 300.0),
    ] {
        let learned = reaching(known(strained_at), strain, tokens);
        let does = learned.prefill / 2.0;
        assert!(
            (does - expected).abs() < 1e-6,
            "{strained_at:?} {strain:?}: {does}"
        );
        assert!(
            (learned.requests / 2.0 - expected / 100.0).abs() < 1e-6,
            "{learned:?}"
        );
    }
}

#[test]
fn trouble_takes_little_from_what_replicas_are_known_to_reach() {
    let cut = reaching(known(None), Strain::Over, 100.0);
    assert!((cut.prefill / 200.0 - 0.99).abs() < 1e-9, "{cut:?}");
    assert_eq!(cut.strained_at, Some(at(10_000)));
}
