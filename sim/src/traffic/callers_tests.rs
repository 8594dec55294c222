use super::*;
use crate::clock::after;

fn at(seconds: u64) -> Timestamp {
    after(START, Duration::from_secs(seconds))
}

/// Replicas `names` of a revision `r` that has the traffic, each ready or not.
fn meet<'a>(callers: &mut Callers, names: &'a [(&'a str, bool)], seconds: u64) {
    let there = |(name, is_ready): &'a (&'a str, bool)| There {
        revision: "r",
        name,
        is_ready: *is_ready,
    };
    let there: Vec<There<'_>> = names.iter().map(there).collect();
    let is_ready = there.iter().any(|it| it.is_ready);
    let weights = is_ready.then(|| ("r".to_owned(), 100));
    callers.meet(&there, weights.into_iter().collect(), true, at(seconds));
}

fn calls(per_second: f64) -> Option<Calls> {
    Some(Calls {
        per_second,
        prompt_tokens: 500,
        generated_tokens: 100,
    })
}

fn told(callers: &Callers, name: &str, seconds: u64) -> Reading {
    let reading = callers.reading(name, at(seconds));
    reading.expect("a ready replica")
}

#[test]
fn who_finds_no_replica_is_held_until_there_is_one() {
    let mut callers = Callers::default();
    meet(&mut callers, &[("a", false)], 0);
    callers.call(calls(2.0), at(0));
    callers.advance_to(at(10));
    callers.call(None, at(10));
    assert_eq!((callers.held(), callers.in_flight("r")), (21, 0));
    assert!(callers.reading("a", at(10)).is_none());
    meet(&mut callers, &[("a", true)], 10);
    assert_eq!((callers.held(), callers.in_flight("r")), (0, 21));
    assert_eq!(callers.idle(at(10)), Duration::ZERO);
    callers.advance_to(at(60));
    assert_eq!(told(&callers, "a", 60).ended, 21.0);
    assert!(
        callers
            .idle_of("r", at(60))
            .is_some_and(|idle| idle > Duration::from_secs(30))
    );
    assert_eq!(callers.failed(), 0);
}

#[test]
fn two_replicas_share_what_comes() {
    let mut callers = Callers::default();
    meet(&mut callers, &[("a", true), ("b", true)], 0);
    callers.call(calls(4.0), at(0));
    callers.advance_to(at(100));
    let ended = ["a", "b"].map(|name| told(&callers, name, 100).ended);
    assert!(ended.iter().all(|ended| *ended > 150.0), "{ended:?}");
    assert!(told(&callers, "a", 100).waiting < 1.0);
}

#[test]
fn one_that_is_let_go_finishes_and_one_that_crashes_gives_back() {
    let mut callers = Callers::default();
    meet(&mut callers, &[("a", true), ("b", true)], 0);
    callers.call(calls(4.0), at(0));
    callers.advance_to(at(10));
    callers.call(None, at(10));
    let before = callers.in_flight("r");
    assert!(before > 1, "{before} in flight");
    meet(&mut callers, &[("a", false), ("b", true)], 10);
    assert_eq!(callers.in_flight("r"), before, "the other has them all");
    meet(&mut callers, &[("a", false)], 10);
    assert_eq!((callers.held(), callers.failed()), (0, 0));
    assert_eq!(callers.idle(at(10)), Duration::ZERO);
    callers.advance_to(at(60));
    assert!(callers.idle(at(60)) > Duration::from_secs(30));
    meet(&mut callers, &[("a", true)], 60);
    assert_eq!(told(&callers, "a", 60).ended, 0.0, "it has begun anew");
}

#[test]
fn more_than_the_queue_holds_fails() {
    let mut callers = Callers::default();
    meet(&mut callers, &[("a", true)], 0);
    callers.call(calls(50.0), at(0));
    callers.advance_to(at(60));
    let (waiting, failed) = (told(&callers, "a", 60).waiting, callers.failed());
    assert!(waiting > 200.0 && failed > 1000, "{waiting}, {failed}");
    let lost = callers.lose("r") as u64;
    assert!(lost > 200);
    assert_eq!(callers.failed(), failed + lost);
}
