use std::time::Duration;

use jiff::Timestamp;

use super::capacity::Capacity;
use super::{Case, Followed, Remembered, Wished, follow};
use crate::load::{Flow, LoadSeen, RECENT, STABLE, Trail};
use crate::validate::{Limit, Scaling, Targets};
use crate::why::Why;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

/// The load of replicas that each do `work` requests a second, of 100 tokens each way.
fn load(replicas: u32, work: f64) -> LoadSeen {
    let flow = |length: Duration| {
        let requests = f64::from(replicas) * work * length.as_secs_f64();
        Flow {
            length,
            replicas: replicas.into(),
            running: f64::from(replicas) * work,
            arrived: requests,
            ended: requests,
            first_tokens: requests,
            prompt_tokens: requests * 100.0,
            generation_tokens: requests * 100.0,
            prefill_seconds: requests * 0.1,
            ttft_p95: Some(Duration::from_millis(400)),
            latency_p95: Some(Duration::from_secs(4)),
            ..Flow::default()
        }
    };
    LoadSeen {
        most_running: None,
        replicas,
        running: f64::from(replicas) * work,
        waiting: 0.0,
        kv_cache: Some((work / 2.0).min(1.0)),
        recent: flow(RECENT),
        stable: flow(STABLE),
    }
}

/// `load` with first tokens that come after so long.
fn slow(mut load: LoadSeen, ttft: Duration) -> LoadSeen {
    load.recent.ttft_p95 = Some(ttft);
    load.stable.ttft_p95 = Some(ttft);
    load
}

/// One request a second and replica is all that one can do.
fn known(strained: bool) -> Remembered {
    Remembered {
        capacity: Some(Capacity {
            prefill: 200.0,
            decode: 200.0,
            requests: 1.0,
            at: at(0),
            strained_at: strained.then(|| at(0)),
        }),
        ..Remembered::default()
    }
}

fn ttft() -> Scaling {
    Scaling {
        targets: Targets {
            ttft_p95: Some(Duration::from_secs(2)),
            ..Targets::default()
        },
        ..Scaling::default()
    }
}

fn case<'a>(scaling: &'a Scaling, load: Option<&'a LoadSeen>, trail: &'a Trail) -> Case<'a> {
    let there = load.map_or(4, |load| load.replicas);
    Case {
        scaling,
        min: 1,
        max: 20,
        desired: there,
        ready: there,
        held: 0,
        load,
        trail,
        start: Duration::from_secs(10),
        moved_at: None,
        now: at(10_000),
    }
}

fn followed(load: &LoadSeen, before: &Remembered) -> Followed {
    let (scaling, trail) = (ttft(), Trail::default());
    follow(&case(&scaling, Some(load), &trail), before)
}

#[test]
fn what_a_replica_can_do_tells_how_many_are_needed() {
    // Four replicas with 1.7 times what they can do; a peak of 7 % more than they can do would be
    // patiently borne.
    let wanted = followed(&load(4, 1.7), &known(true));
    assert_eq!(wanted.replicas, 7);
    let Some(Why::LoadWants {
        demand: Some(demand),
        ..
    }) = wanted.why.first()
    else {
        panic!("{:?}", wanted.why);
    };
    assert!(
        (demand.now - 6.8).abs() < 0.01 && demand.ahead >= demand.now,
        "{demand:?}"
    );
}

#[test]
fn a_capacity_that_was_never_reached_is_no_reason_for_more() {
    let wanted = followed(&load(4, 1.5), &known(false));
    assert_eq!(wanted.replicas, 4);
    let capacity = wanted.remembered.capacity.expect("known");
    assert!((capacity.requests - 1.5).abs() < 0.01, "{capacity:?}");
}

#[test]
fn over_a_target_one_more_than_is_ready_is_wanted() {
    let strained = slow(load(4, 1.0), Duration::from_secs(3));
    let (scaling, trail) = (ttft(), Trail::default());
    let now = case(&scaling, Some(&strained), &trail);
    assert_eq!(follow(&now, &Remembered::default()).replicas, 5);
    // One that starts already counts.
    let starting = Case { desired: 5, ..now };
    assert_eq!(follow(&starting, &Remembered::default()).replicas, 5);
}

#[test]
fn what_is_over_is_no_reason_for_more() {
    let mut over = slow(load(4, 0.9), Duration::from_secs(3));
    over.recent.ttft_p95 = Some(Duration::from_millis(300));
    assert_eq!(followed(&over, &known(true)).replicas, 4);
}

#[test]
fn a_share_of_its_target_tells_the_count_by_itself() {
    let trail = Trail::default();
    let mut busy = load(4, 1.0);
    for flow in [&mut busy.recent, &mut busy.stable] {
        (flow.running, flow.waiting) = (20.0, 10.0);
    }
    busy.kv_cache = Some(0.9);
    for (targets, replicas) in [
        (
            Targets {
                concurrency: Some(5),
                ..Targets::default()
            },
            6,
        ),
        (
            Targets {
                concurrency: Some(7),
                ..Targets::default()
            },
            4,
        ),
        (
            Targets {
                kv_cache_usage: Some(60),
                ..Targets::default()
            },
            6,
        ),
        (
            Targets {
                concurrency: Some(5),
                kv_cache_usage: Some(40),
                ..Targets::default()
            },
            9,
        ),
    ] {
        let scaling = Scaling {
            targets,
            ..Scaling::default()
        };
        let wanted = follow(&case(&scaling, Some(&busy), &trail), &Remembered::default());
        assert_eq!(wanted.replicas, replicas, "{targets:?}");
    }
}

#[test]
fn fewer_come_only_after_they_would_have_done_for_a_while() {
    let (scaling, trail) = (ttft(), Trail::default());
    let calm = load(8, 0.48);
    let mut before = known(true);
    let mut counts = Vec::new();
    for second in (0..=200).step_by(20) {
        let now = Case {
            now: at(10_000 + second),
            ..case(&scaling, Some(&calm), &trail)
        };
        let wanted = follow(&now, &before);
        counts.push(wanted.replicas);
        before = wanted.remembered;
    }
    let (early, late) = counts.split_at(9);
    assert!(early.iter().all(|count| *count == 8), "{counts:?}");
    assert!(late.iter().all(|count| *count == 4), "{counts:?}");
}

/// A model that has its replicas wait for a minute before they come.
fn patient() -> Scaling {
    Scaling {
        up: Limit {
            stabilization: Some(Duration::from_secs(60)),
            max_step: None,
        },
        ..ttft()
    }
}

/// What a patient model comes to, look by look: seconds, and what each replica has to do. What one can
/// do stays as it is.
fn patiently(looks: impl IntoIterator<Item = (i64, f64)>) -> Vec<u32> {
    let (scaling, trail) = (patient(), Trail::default());
    let mut before = known(true);
    let counts = looks.into_iter().map(|(second, work)| {
        let load = load(4, work);
        let now = Case {
            now: at(10_000 + second),
            ..case(&scaling, Some(&load), &trail)
        };
        let wanted = follow(&now, &before);
        before.highs = wanted.remembered.highs;
        wanted.replicas
    });
    counts.collect()
}

fn every_ten(seconds: std::ops::Range<i64>) -> impl Iterator<Item = (i64, f64)> {
    seconds.step_by(10).map(|second| (second, 1.7))
}

#[test]
fn more_come_after_a_while_and_then_as_few_as_were_needed_all_the_time() {
    let looks = every_ten(0..110).map(|(second, work)| match second {
        30 => (second, 1.4),
        _ => (second, work),
    });
    let counts = patiently(looks);
    assert_eq!(counts, [4, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7]);
    let (scaling, trail, busy) = (patient(), Trail::default(), load(4, 1.7));
    let wanted = follow(&case(&scaling, Some(&busy), &trail), &known(true));
    let until = at(10_060);
    assert_eq!(wanted.why, [Why::MayGrow { until }]);
    assert_eq!(wanted.look_after, Some(Duration::from_secs(12)));
}

#[test]
fn less_for_a_moment_or_a_clock_that_is_set_has_growth_wait_anew_but_not_for_ever() {
    // After 50 s of a minute: less to do, and a clock that is set an hour.
    for (moment, work) in [(50, 0.8), (3_650, 1.7), (-3_550, 1.7)] {
        let looks = every_ten(0..50).chain([(moment, work)]);
        let counts = patiently(looks.chain(every_ten(moment + 10..moment + 80)));
        let (early, late) = counts.split_at(11);
        assert_eq!(early, [4; 11], "{moment}");
        assert_eq!(late.last(), Some(&7), "{moment}");
    }
}

#[test]
fn a_floor_waits_for_nothing() {
    let (scaling, trail, busy) = (patient(), Trail::default(), load(4, 1.6));
    let raised = Case {
        min: 6,
        ..case(&scaling, Some(&busy), &trail)
    };
    assert_eq!(follow(&raised, &known(true)).replicas, 6);
}

#[test]
fn who_does_not_tell_keeps_the_count() {
    let (scaling, trail) = (ttft(), Trail::default());
    let long_ago = Remembered {
        lows: vec![
            Wished {
                since: at(9_800),
                replicas: 1,
            },
            Wished {
                since: at(9_990),
                replicas: 1,
            },
        ],
        ..known(true)
    };
    let calm = load(8, 0.1);
    let whole = case(&scaling, Some(&calm), &trail);
    assert!(
        follow(&whole, &long_ago).replicas < 8,
        "else this shows nothing"
    );
    let silent = Case {
        load: None,
        ..whole
    };
    assert_eq!(follow(&silent, &long_ago).replicas, 8);
    let one_is_silent = Case {
        ready: 9,
        desired: 9,
        ..whole
    };
    assert_eq!(follow(&one_is_silent, &long_ago).replicas, 9);
    let mut short = calm.clone();
    short.stable.length = Duration::from_secs(20);
    let fresh = case(&scaling, Some(&short), &trail);
    assert_eq!(follow(&fresh, &long_ago).replicas, 8);
}

#[test]
fn steps_are_bounded() {
    let trail = Trail::default();
    let limit = |max_step| Limit {
        max_step,
        ..Limit::default()
    };
    let scaling = Scaling {
        up: limit(Some(2)),
        ..ttft()
    };
    let busy = load(4, 3.0);
    for (ago, replicas, look_after) in [(3, 4, Some(12)), (15, 6, None), (-3600, 6, None)] {
        let now = Case {
            moved_at: Some(at(10_000 - ago)),
            ..case(&scaling, Some(&busy), &trail)
        };
        let wanted = follow(&now, &known(true));
        assert_eq!(wanted.replicas, replicas, "the last step {ago} s ago");
        assert_eq!(wanted.look_after, look_after.map(Duration::from_secs));
    }
}
