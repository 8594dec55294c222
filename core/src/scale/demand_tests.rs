use std::time::Duration;

use super::capacity::Capacity;
use super::demand::{growth, is_burst, now};
use crate::load::{Flow, LoadSeen, RECENT, STABLE, Slot, Trail};

const START: Duration = Duration::from_secs(20);

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
        (19.0, 69.0, false),
        (21.0, 71.0, true),
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
    let mut short = load(21.0, 71.0);
    short.stable.length = Duration::from_secs(15);
    assert!(
        !is_burst(&short),
        "there is no rest of a minute to compare with"
    );
}

#[test]
fn what_comes_and_what_waits_is_work() {
    let work = |load: &LoadSeen, held| now(load, held, &capacity(), START);
    assert!((work(&load(10.0, 60.0), 0.0) - 0.1).abs() < 1e-9);
    // Ten times as many in the last seconds count at once.
    assert!((work(&load(100.0, 150.0), 0.0) - 1.0).abs() < 1e-9);
    // Sixty who wait, a tenth of a second each, in a minute.
    let mut queued = load(10.0, 60.0);
    queued.waiting = 40.0;
    assert!((work(&queued, 20.0) - 0.2).abs() < 1e-9);
    let slow = now(&queued, 20.0, &capacity(), Duration::from_secs(600));
    assert!(
        (slow - 0.11).abs() < 1e-9,
        "none that is ordered now helps sooner"
    );
}

fn trail(work: impl Fn(usize) -> f64) -> Trail {
    let slot = |at| Slot {
        arrived: work(at),
        prompt_tokens: work(at),
        generation_tokens: work(at),
    };
    Trail((0..120).map(slot).collect())
}

#[test]
fn a_forecast_covers_as_much_growth_as_was_seen() {
    let steady = trail(|_| 50.0);
    assert_eq!(growth(&steady, &capacity(), START), 1.0);
    // Twice as much every ten minutes, by steps of a minute.
    let rising = trail(|at| 50.0 * 2f64.powf(at as f64 / 60.0));
    let ten_minutes = growth(&rising, &capacity(), Duration::from_secs(600));
    assert!((ten_minutes - 2.0).abs() < 0.01, "{ten_minutes}");
    let falling = trail(|at| 50.0 / (1.0 + at as f64));
    assert_eq!(
        growth(&falling, &capacity(), START),
        1.0,
        "what falls is not foretold"
    );
}

#[test]
fn little_that_was_seen_is_taken_for_ordinary() {
    let nothing = Trail::default();
    let growth = |seconds| growth(&nothing, &capacity(), Duration::from_secs(seconds));
    assert!(growth(10) > 1.0 && growth(10) < growth(60) && growth(60) < growth(300));
    assert_eq!(growth(300), growth(3000));
}
