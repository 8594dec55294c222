use std::time::Duration;

use super::capacity::Capacity;
use super::demand::{Demand, demand, is_burst};
use crate::load::{Flow, LoadSeen, RECENT, STABLE, Slot, Trail};

/// Does ten requests a second, of one token each way.
fn capacity() -> Capacity {
    Capacity {
        prefill: 20.0,
        decode: 20.0,
        requests: 10.0,
        at: jiff::Timestamp::UNIX_EPOCH,
        strained_at: None,
    }
}

/// So many requests in the last seconds and in the whole minute.
fn load(recent: f64, stable: f64) -> LoadSeen {
    let flow = |length, requests| Flow {
        length,
        replicas: 1.0,
        arrived: requests,
        ended: requests,
        prompt_tokens: requests,
        generation_tokens: requests,
        ..Flow::default()
    };
    LoadSeen {
        replicas: 1,
        recent: flow(RECENT, recent),
        stable: flow(STABLE, stable),
        ..LoadSeen::default()
    }
}

#[test]
fn a_burst_is_more_than_chance_makes() {
    for (recent, stable, burst) in [
        (10.0, 60.0, false),
        (24.0, 74.0, false),
        (26.0, 76.0, true),
        (1.0, 1.0, false),
        (4.0, 4.0, true),
        (0.0, 60.0, false),
    ] {
        assert_eq!(
            is_burst(&load(recent, stable)),
            burst,
            "{recent} of {stable}"
        );
    }
    let mut short = load(26.0, 76.0);
    short.stable.length = Duration::from_secs(15);
    assert!(
        !is_burst(&short),
        "there is no rest of a minute to compare with"
    );
}

/// What is asked now and ahead, nothing having been seen before.
fn asked(load: &LoadSeen, held: f64, start: u64) -> Demand {
    let start = Duration::from_secs(start);
    demand(load, held, &Trail::default(), &capacity(), start)
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[test]
fn what_comes_is_work_and_a_burst_by_as_much_as_it_may_last() {
    assert!(is_near(asked(&load(10.0, 60.0), 0.0, 20).now, 0.1));
    // Ten times as many in the last seconds.
    let burst = load(100.0, 150.0);
    assert!(is_near(asked(&burst, 0.0, 20).now, 1.0));
    let stable = 0.25;
    let slow = asked(&burst, 0.0, 600).now;
    assert!(is_near(slow, stable + 0.1 * (1.0 - stable)), "{slow}");
}

#[test]
fn who_waits_is_to_be_served_soon() {
    // Sixty who wait, a tenth of a second each, in a minute.
    let mut queued = load(10.0, 60.0);
    queued.waiting = 40.0;
    let more = |start| {
        let waiting = asked(&queued, 20.0, start).ahead;
        waiting - asked(&load(10.0, 60.0), 0.0, start).ahead
    };
    assert!(is_near(more(20), 0.1));
    assert!(
        is_near(more(600), 0.01),
        "none that is ordered now helps sooner"
    );
}

fn trail(work: impl Fn(usize) -> f64) -> Trail {
    let slot = |at| Slot {
        arrived: work(at),
        prompt_tokens: work(at),
        generation_tokens: work(at),
        ..Slot::default()
    };
    Trail((0..180).map(slot).collect())
}

/// By what a load of so many requests a minute may grow, as a factor.
fn growth(trail: &Trail, requests: f64, start: u64) -> f64 {
    let load = load(requests / 6.0, requests);
    let found = demand(&load, 0.0, trail, &capacity(), Duration::from_secs(start));
    found.ahead / found.now
}

#[test]
fn a_forecast_covers_as_much_growth_as_was_seen() {
    assert!(is_near(growth(&trail(|_| 50.0), 300.0, 20), 1.0));
    // Twice as much every ten minutes.
    let rising = trail(|at| 50.0 * 2f64.powf(at as f64 / 60.0));
    let last = 300.0 * 2f64.powf(177.0 / 60.0);
    let ten_minutes = growth(&rising, last, 600);
    // From the middle of a minute to the end of ten more and a slot.
    let seen = 2f64.powf(63.5 / 60.0);
    assert!((ten_minutes / seen - 1.0).abs() < 0.01, "{ten_minutes}");
    let falling = trail(|at| 50.0 / (1.0 + at as f64));
    assert!(
        is_near(growth(&falling, 2.0, 20), 1.0),
        "what falls is not foretold"
    );
}

#[test]
fn from_a_peak_it_does_not_grow_as_from_a_valley() {
    // Five minutes of fifty a slot, five of a hundred; the last minute is one of either.
    let waves = |later| trail(move |at| if (at + later) % 60 < 30 { 50.0 } else { 100.0 });
    let (peak, valley) = (waves(0), waves(30));
    assert!(is_near(growth(&peak, 600.0, 100), 1.0));
    assert!(is_near(growth(&valley, 300.0, 100), 2.0));
}

#[test]
fn a_jump_that_was_seen_is_not_expected_again_from_where_it_led() {
    let jump = trail(|at| if at < 140 { 10.0 } else { 100.0 });
    assert!(is_near(growth(&jump, 600.0, 100), 1.0));
}

#[test]
fn where_little_was_seen_some_growth_is_supposed_and_orders_nothing() {
    let asked = |seconds| asked(&load(50.0, 300.0), 0.0, seconds);
    let kept = |seconds| asked(seconds).to_shrink;
    assert!(kept(10) > 1.05 * asked(10).now && kept(10) < kept(60) && kept(60) < kept(300));
    assert!(is_near(kept(300), kept(3000)));
    for seconds in [10, 60, 300] {
        assert!(is_near(asked(seconds).ahead, asked(seconds).now));
    }
}

#[test]
fn some_is_to_spare_before_any_go() {
    let found = demand(
        &load(50.0, 300.0),
        0.0,
        &trail(|_| 50.0),
        &capacity(),
        Duration::from_secs(20),
    );
    assert!(is_near(found.to_shrink, 1.05 * found.ahead), "{found:?}");
}
