//! Replicas that tell every fifteen or thirty seconds, each at moments of its own.

use super::*;

/// One that has had as many requests, all of them ended, as seconds have passed.
fn told(seconds: u64) -> Reading {
    let ended = seconds as f64;
    let histogram = Histogram {
        buckets: vec![(1.0, ended), (f64::INFINITY, ended)],
        sum: ended / 2.0,
    };
    Reading {
        running: 1.0,
        prompt_tokens: 5.0 * ended,
        generation_tokens: 3.0 * ended,
        ended,
        ttft: histogram.clone(),
        latency: histogram,
        ..Reading::default()
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What replicas have told by a moment, the first at moments that these seconds divide, each other
/// one four seconds after the one before.
fn series(replicas: u64, every: u64, until: u64) -> Series {
    let mut series = Series::default();
    for replica in 0..replicas {
        let first = 4 * replica;
        for second in (first..=until).step_by(usize::try_from(every).expect("short")) {
            let name = replica.to_string();
            let lasts = at(2 * every + 5);
            series.note_lasting("r", &name, told(second), at(second), lasts);
        }
    }
    series
}

#[test]
fn sums_are_as_if_all_told_at_once() {
    for every in [1, 5, 15, 30] {
        for now in 200..200 + every {
            let load = series(4, every, now).load("r", at(now)).expect("told");
            assert_eq!(load.replicas, 4);
            for (flow, seconds) in [(load.recent, 10.0), (load.stable, 60.0)] {
                // Who tells each second is not seen for the part of one that is still to come.
                let is = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 1e-9;
                let case = format!("every {every} s, at {now}: {flow:?}");
                assert!(is(flow.length.as_secs_f64(), seconds), "{case}");
                assert!(is(flow.replicas, 4.0), "{case}");
                assert!(is(flow.running, 4.0), "{case}");
                assert!(is(flow.ended, 4.0 * seconds), "{case}");
                assert!(is(flow.arrived, 4.0 * seconds), "{case}");
                assert!(is(flow.prompt_tokens, 20.0 * seconds), "{case}");
                assert!(is(flow.first_tokens, 4.0 * seconds), "{case}");
                assert!(is(flow.prefill_seconds, 2.0 * seconds), "{case}");
            }
        }
    }
}

#[test]
fn what_was_seen_of_each_lies_upon_what_was_seen_of_the_others() {
    // Each has told twice: from 0 to 15 s, from 4 to 19 s, and so on.
    let load = series(4, 15, 27).load("r", at(27)).expect("told");
    assert_eq!(load.stable.length, at(15));
    assert_eq!((load.stable.replicas, load.stable.ended), (4.0, 60.0));
}

#[test]
fn what_was_told_counts_until_it_should_have_been_told_anew() {
    let one = series(1, 15, 60);
    assert_eq!(one.load("r", at(94)).map(|it| it.replicas), Some(1));
    assert_eq!(one.load("r", at(95)), None);
    // No window reaches back for longer.
    let seldom = series(1, 30, 60);
    assert!(seldom.load("r", at(119)).is_some());
    assert_eq!(seldom.load("r", at(120)), None);
}

#[test]
fn who_is_gone_or_silent_counts_for_the_time_that_it_told_of() {
    let mut two = series(2, 15, 200);
    two.keep(&["1"].into(), at(200));
    let load = two.load("r", at(200)).expect("told");
    assert_eq!((load.replicas, load.running), (1, 1.0));
    // The one that is gone told last at 195, the other stands for the time until now.
    assert_eq!(load.stable.ended, 55.0 + 60.0);
    assert_eq!(load.stable.length, at(60));
    assert_eq!(load.recent.ended, 5.0 + 10.0);
}

#[test]
fn a_replica_counts_from_its_first_reading_on() {
    let mut one = series(1, 15, 200);
    one.note_lasting("r", "new", told(190), at(190), at(35));
    let load = one.load("r", at(200)).expect("told");
    assert_eq!((load.replicas, load.running), (2, 2.0));
    assert_eq!((load.stable.ended, load.stable.replicas), (60.0, 1.0));
    one.note_lasting("r", "new", told(205), at(205), at(35));
    one.note_lasting("r", "0", told(210), at(210), at(35));
    let load = one.load("r", at(210)).expect("told");
    assert_eq!(load.stable.ended, 60.0 + 15.0);
    assert_eq!(load.stable.replicas, 75.0 / 60.0);
}

#[test]
fn the_trail_has_the_slots_that_all_have_told_of() {
    let slots = |now: u64| series(4, 15, now).trail(at(now)).0;
    for now in 200..215 {
        let slots = slots(now);
        assert!(slots.len() >= 14, "{now}: {}", slots.len());
        // All four have told of each that is told of, but for the time before their first reading.
        let whole = &slots[2..];
        assert!(
            whole.iter().all(|it| (it.arrived - 40.0).abs() < 1e-6),
            "{now}: {whole:?}"
        );
    }
    let silent = series(4, 15, 200);
    assert!(!silent.trail(at(230)).0.is_empty(), "they may tell still");
    assert!(silent.trail(at(290)).0.is_empty(), "nobody tells any more");
}
