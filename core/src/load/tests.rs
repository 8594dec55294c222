use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A process that counts as a server does; its answers have three tokens each, its prompts five.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    arrived: u32,
    ended: u32,
}

impl Process {
    /// All that has ended took half a second in the queue and one until the first token.
    fn reading(self) -> Reading {
        let (open, ended) = (self.arrived - self.ended, f64::from(self.ended));
        let histogram = |each: f64| Histogram {
            buckets: vec![(0.5, 0.0), (1.0, ended), (f64::INFINITY, ended)],
            sum: each * ended,
        };
        Reading {
            running: f64::from(open.min(1)),
            waiting: f64::from(open.saturating_sub(1)),
            most_running: Some(1.0),
            kv_cache: Some(0.5),
            prompt_tokens: 5.0 * ended,
            generation_tokens: 3.0 * ended,
            ended,
            ttft: histogram(1.0),
            latency: histogram(2.0),
            queue_time: histogram(0.5),
        }
    }
}

fn told(arrived: u32, ended: u32) -> Reading {
    Process { arrived, ended }.reading()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What each of these told, as revision `r`: a replica, a second, and requests that came and ended.
fn series(told_then: &[(&str, u64, u32, u32)]) -> Series {
    let mut series = Series::default();
    for (replica, second, arrived, ended) in told_then {
        series.note("r", replica, told(*arrived, *ended), at(*second));
    }
    series
}

fn load(series: &Series, now: u64) -> LoadSeen {
    series.load("r", at(now)).expect("someone told")
}

#[test]
fn replicas_are_added_up_now_and_over_each_window() {
    let series = series(&[
        ("a", 0, 100, 100),
        ("a", 52, 110, 104),
        ("b", 52, 7, 7),
        ("a", 60, 120, 118),
        ("b", 60, 9, 8),
    ]);
    let seen = load(&series, 60);
    assert_eq!((seen.replicas, seen.running, seen.waiting), (2, 2.0, 1.0));
    assert_eq!((seen.kv_cache, seen.most_running), (Some(0.5), Some(1.0)));
    let recent = seen.recent;
    assert_eq!(recent.length, at(8));
    assert_eq!(recent.replicas, 2.0);
    assert_eq!((recent.arrived, recent.ended), (12.0, 15.0));
    assert_eq!(
        (recent.prompt_tokens, recent.generation_tokens),
        (75.0, 45.0)
    );
    assert_eq!((recent.first_tokens, recent.prefill_seconds), (15.0, 7.5));
    assert_eq!(recent.ttft_p95, Some(Duration::from_millis(975)));
    assert_eq!(recent.running, 1.5, "from one and none to one each");
    assert_eq!(recent.waiting, 3.0, "from five to one");
    let stable = seen.stable;
    assert_eq!((stable.length, stable.arrived), (at(60), 22.0));
    assert!((stable.replicas - 68.0 / 60.0).abs() < 1e-9);
}

#[test]
fn what_a_replica_did_before_it_was_seen_counts_nowhere() {
    let seen = load(&series(&[("a", 100, 5000, 4990)]), 100);
    assert_eq!((seen.running, seen.waiting), (1.0, 9.0));
    for flow in [&seen.recent, &seen.stable] {
        assert_eq!((flow.length, flow.ended, flow.arrived), (at(0), 0.0, 0.0));
        assert_eq!((flow.replicas, flow.running, flow.waiting), (1.0, 1.0, 9.0));
        assert_eq!(flow.ttft_p95, None);
    }
}

#[test]
fn of_a_process_that_began_anew_all_counts_and_once() {
    let series = series(&[
        ("a", 0, 50, 40),
        ("a", 2, 52, 42),
        ("a", 4, 6, 3),
        ("a", 6, 8, 8),
    ]);
    let recent = load(&series, 6).recent;
    assert_eq!((recent.arrived, recent.ended), (10.0, 10.0));
    assert_eq!(recent.first_tokens, 10.0);
}

#[test]
fn who_is_gone_counts_for_what_it_did() {
    let mut series = series(&[
        ("a", 0, 0, 0),
        ("b", 0, 0, 0),
        ("a", 5, 6, 4),
        ("b", 5, 1, 1),
    ]);
    series.keep(&BTreeSet::from(["b"]), at(5));
    let seen = load(&series, 5);
    assert_eq!((seen.replicas, seen.running, seen.waiting), (1, 0.0, 0.0));
    assert_eq!((seen.recent.arrived, seen.recent.replicas), (7.0, 2.0));
    series.note("r", "b", told(1, 1), at(70));
    series.keep(&BTreeSet::from(["b"]), at(70));
    assert_eq!(load(&series, 70).stable.arrived, 0.0);
    series.keep(&BTreeSet::new(), at(140));
    assert_eq!(series.load("r", at(140)), None);
    assert!(format!("{series:?}").contains("revisions: {}"));
}

#[test]
fn what_is_old_or_absurd_is_not_told() {
    let mut series = series(&[("a", 0, 9, 0), ("b", 3, 2, 0)]);
    assert_eq!(load(&series, 3).replicas, 2);
    assert_eq!(load(&series, 4).replicas, 1);
    assert_eq!(load(&series, 4).waiting, 1.0);
    let absurd = Reading {
        waiting: f64::NAN,
        ..told(2, 0)
    };
    series.note("r", "b", absurd, at(6));
    series.note("r", "b", told(5, 0), at(2));
    assert_eq!(load(&series, 6).waiting, 1.0);
    assert_eq!(series.load("r", at(7)), None);
    assert_eq!(series.load("other", at(6)), None);
}

#[test]
fn a_look_is_due_once_in_a_while_and_only_while_a_window_holds_a_request() {
    let mut one = series(&[("a", 14, 5, 5), ("a", 15, 5, 5)]);
    assert_eq!(one.look_due(at(15)), None, "its past is in no window");
    one.note("r", "a", told(6, 5), at(16));
    one.looked(at(16));
    assert_eq!(one.look_due(at(19)), None, "nothing new was told");
    one.note("r", "a", told(6, 6), at(17));
    assert_eq!(one.look_due(at(17)), None);
    assert_eq!(one.look_due(at(19)), Some(at(18)));
    for (second, due) in [(77, true), (78, false)] {
        one.note("r", "a", told(6, 6), at(second));
        assert_eq!(one.look_due(at(second)).is_some(), due, "{second}");
    }
}

#[test]
fn a_replica_that_falls_silent_is_worth_a_look_while_others_may_be_at_work() {
    let mut two = series(&[("a", 14, 1, 0), ("b", 14, 1, 0), ("a", 15, 1, 0)]);
    two.looked(at(15));
    assert_eq!(two.look_due(at(17)), None, "all told lately");
    assert_eq!(two.look_due(at(18)), Some(at(17)), "one does not");
    two.looked(at(18));
    assert_eq!(two.look_due(at(20)), Some(at(20)), "nor does the other");
    two.looked(at(20));
    assert_eq!(two.look_due(at(40)), None, "which was looked at");
    let mut idle = series(&[("a", 14, 0, 0)]);
    idle.looked(at(14));
    assert_eq!(idle.look_due(at(40)), None, "nobody works");
}

/// Tells each second, from one to another, of one request a second.
fn steady(series: &mut Series, replica: &str, from: u64, until: u64) {
    for second in from..=until {
        let ended = u32::try_from(second - from).expect("short");
        series.note("r", replica, told(ended, ended), at(second));
    }
}

fn arrived(series: &Series, now: u64) -> Vec<f64> {
    let trail = series.trail(at(now));
    trail.0.iter().map(|slot| slot.arrived.round()).collect()
}

#[test]
fn the_trail_has_the_slots_that_are_over() {
    let mut series = Series::default();
    steady(&mut series, "a", 5, 43);
    steady(&mut series, "b", 30, 43);
    assert_eq!(arrived(&series, 43), [10.0; 2], "the first was not whole");
    series.note("r", "a", told(39, 39), at(44));
    assert_eq!(arrived(&series, 44), [10.0, 10.0, 20.0]);
    assert_eq!(series.trail(at(44)).0[2].prompt_tokens.round(), 100.0);
    assert_eq!(series.trail(at(44)).0[2].generation_tokens.round(), 60.0);
}

#[test]
fn the_trail_begins_anew_after_a_slot_that_nobody_saw() {
    let mut series = Series::default();
    steady(&mut series, "a", 0, 40);
    assert_eq!(arrived(&series, 45).len(), 3);
    assert_eq!(arrived(&series, 64), [0.0; 0], "nobody tells any more");
    steady(&mut series, "b", 65, 104);
    assert_eq!(arrived(&series, 104), [10.0, 10.0, 10.0]);
    let mut silent = Series::default();
    steady(&mut silent, "a", 0, 20);
    silent.note("r", "a", told(80, 80), at(50));
    silent.note("r", "a", told(84, 84), at(54));
    let evenly = [10.0, 10.0, 20.0, 20.0, 20.0];
    assert_eq!(arrived(&silent, 54), evenly, "what one did in silence");
}

#[test]
fn the_trail_is_no_longer_than_it_may_be() {
    let mut series = Series::default();
    let end = (SLOTS as u64 + 30) * SLOT.as_secs();
    steady(&mut series, "a", 0, end);
    assert_eq!(arrived(&series, end), [10.0; SLOTS]);
    steady(&mut series, "b", 10 * end, 10 * end + 34);
    assert_eq!(arrived(&series, 10 * end + 34), [10.0; 3]);
}

/// One second of one replica.
#[derive(Clone, Copy, Debug)]
struct Second {
    arrives: u32,
    ends: u32,
    /// Its process begins anew at the second's begin.
    restarts: bool,
    tells: bool,
}

fn any_life() -> impl Strategy<Value = (u32, Vec<Second>)> {
    let second =
        (0..5u32, 0..5u32, 0..20u32, 0..5u32).prop_map(|(arrives, ends, one, two)| Second {
            arrives,
            ends,
            restarts: one == 0,
            tells: two > 0,
        });
    (0..100u32, prop::collection::vec(second, 1..150))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sum_is_negative_or_more_than_was_done(lives in prop::collection::vec(any_life(), 1..4)) {
        let mut series = Series::default();
        let mut done: Vec<Process> = Vec::new();
        let mut replicas: Vec<Process> = lives
            .iter()
            .map(|(past, _)| Process { arrived: *past, ended: *past })
            .collect();
        for second in 0..150 {
            let mut sum = Process::default();
            let now = at(second as u64 + 1);
            for (name, (process, (_, life))) in replicas.iter_mut().zip(&lives).enumerate() {
                let Some(step) = life.get(second) else { continue };
                if step.restarts {
                    *process = Process::default();
                }
                process.arrived += step.arrives;
                let ends = step.ends.min(process.arrived - process.ended);
                process.ended += ends;
                sum.arrived += step.arrives;
                sum.ended += ends;
                if step.tells {
                    series.note("r", &name.to_string(), process.reading(), now);
                }
            }
            done.push(sum);
            let Some(load) = series.load("r", now) else { continue };
            for (flow, window) in [(&load.recent, RECENT), (&load.stable, STABLE)] {
                let within = done.iter().rev().take(window.as_secs() as usize);
                let (arrived, ended) = within.fold((0, 0), |(arrived, ended), one| {
                    (arrived + one.arrived, ended + one.ended)
                });
                let ended = f64::from(ended);
                let most = [
                    (flow.arrived, f64::from(arrived)),
                    (flow.ended, ended),
                    (flow.prompt_tokens, 5.0 * ended),
                    (flow.generation_tokens, 3.0 * ended),
                    (flow.first_tokens, ended),
                    (flow.prefill_seconds, 0.5 * ended),
                    (flow.length.as_secs_f64(), window.as_secs_f64()),
                    (flow.replicas, lives.len() as f64),
                ];
                for (number, (told, most)) in most.into_iter().enumerate() {
                    prop_assert!((0.0..=most + 1e-9).contains(&told), "{number}: {told} of {most}");
                }
            }
        }
        let trail = series.trail(at(150));
        let told: f64 = trail.0.iter().map(|slot| slot.arrived).sum();
        let all: u32 = done.iter().map(|one| one.arrived).sum();
        prop_assert!(trail.0.iter().all(|slot| slot.arrived >= 0.0));
        prop_assert!(told <= f64::from(all) + 1e-6, "{told} of {all}");
    }
}
