#![allow(clippy::unwrap_used)]

use super::*;

/// Requests that are all alike, so many of them.
fn tally(answered: u64, failed: u64, latency: f64) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..answered {
        tally.note(&Answered {
            first_token: latency / 10.0,
            latency,
            token_time: Some(latency / 100.0),
        });
    }
    (0..failed).for_each(|_| tally.fail());
    tally
}

fn question(limits: Limits) -> Question {
    Question {
        revision: "new".to_owned(),
        from: "old".to_owned(),
        step: 1,
        steps: 2,
        limits,
        aside: None,
    }
}

fn limits() -> Limits {
    Limits {
        different: None,
        error_rate: Some(0.01),
        first_token: Some(1.2),
        latency: Some(1.2),
        token_time: Some(1.2),
        min_requests: 50,
    }
}

/// A trial of so many blocks that are all alike.
fn trial(limits: Limits, blocks: usize, canary: &Tally, stable: &Tally) -> TrialSeen {
    let mut trial = Trial::new(question(limits));
    for _ in 0..blocks {
        trial.note(canary, stable);
    }
    trial.seen()
}

#[test]
fn what_is_alike_passes_in_time() {
    let (canary, stable) = (tally(10, 0, 1.0), tally(90, 0, 1.0));
    assert_eq!(
        trial(limits(), 4, &canary, &stable).verdict(),
        Verdict::Open
    );
    let seen = trial(limits(), 60, &canary, &stable);
    assert_eq!(seen.verdict(), Verdict::Passed, "{seen:?}");
    assert_eq!(seen.requests, 600);
}

#[test]
fn each_limit_can_fail_alone() {
    let stable = tally(90, 0, 1.0);
    for (canary, failing) in [
        (tally(9, 1, 1.0), vec![Check::ErrorRate]),
        (
            tally(10, 0, 1.5),
            vec![Check::FirstToken, Check::Latency, Check::TokenTime],
        ),
    ] {
        let seen = trial(limits(), 60, &canary, &stable);
        assert_eq!(seen.verdict(), Verdict::Failed, "{seen:?}");
        let failed = seen.checks.iter();
        let failed = failed.filter(|it| it.verdict == Verdict::Failed);
        let failed: Vec<Check> = failed.map(|it| it.check).collect();
        assert_eq!(failed, failing);
    }
}

#[test]
fn errors_that_both_have_speak_against_neither() {
    let (canary, stable) = (tally(9, 1, 1.0), tally(81, 9, 1.0));
    let seen = trial(limits(), 200, &canary, &stable);
    assert_eq!(seen.checks[0].verdict, Verdict::Open, "{seen:?}");
}

#[test]
fn a_load_that_slows_both_down_speaks_against_neither() {
    let mut trial = Trial::new(question(limits()));
    for round in 0..200 {
        // The canary has most of its requests while all are slow.
        let (latency, canary) = if round % 2 == 0 { (4.0, 40) } else { (1.0, 10) };
        trial.note(&tally(canary, 0, latency), &tally(50, 0, latency));
    }
    assert_eq!(trial.verdict(), Verdict::Passed, "{:?}", trial.seen());
}

#[test]
fn nothing_is_said_before_the_fewest_requests() {
    let needed = Limits {
        min_requests: 1000,
        ..limits()
    };
    let (bad, stable) = (tally(5, 5, 9.0), tally(90, 0, 1.0));
    assert_eq!(trial(needed, 99, &bad, &stable).verdict(), Verdict::Open);
    assert_eq!(trial(needed, 100, &bad, &stable).verdict(), Verdict::Failed);
}

#[test]
fn requests_of_one_revision_alone_tell_nothing() {
    let (some, none) = (tally(10, 5, 9.0), Tally::default());
    for (canary, stable) in [(&some, &none), (&none, &some)] {
        let seen = trial(limits(), 100, canary, stable);
        assert_eq!((seen.verdict(), seen.requests), (Verdict::Open, 0));
    }
}

#[test]
fn a_check_without_a_value_stays_open() {
    let mut canary = tally(10, 0, 1.0);
    canary.token_time = Bins::default();
    let seen = trial(limits(), 100, &canary, &tally(90, 0, 1.0));
    let open = seen.checks.iter().filter(|it| it.verdict == Verdict::Open);
    let open: Vec<Check> = open.map(|it| it.check).collect();
    assert_eq!(open, [Check::TokenTime]);
    assert_eq!(seen.checks[3].canary, None);
}

#[test]
fn tallies_are_told_as_json() {
    let tally = tally(2, 1, 1.0);
    let text = serde_json::to_string(&tally).unwrap();
    assert_eq!(
        text,
        r#"{"answered":2,"failed":1,"firstToken":{"-106":2},"latency":{"0":2},"tokenTime":{"-212":2}}"#
    );
    assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally);
}
