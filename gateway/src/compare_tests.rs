#![allow(clippy::unwrap_used)]
use std::time::Duration;

use chandler_core::traffic::{Endpoint, RevisionRoute};

use super::*;

fn route(weights: &[(&str, u32)]) -> ModelRoute {
    let revisions = weights.iter().map(|(revision, weight)| RevisionRoute {
        revision: (*revision).to_owned(),
        weight: *weight,
        endpoints: Vec::new(),
    });
    ModelRoute {
        key: "team/m".to_owned(),
        revisions: revisions.collect(),
        ..ModelRoute::default()
    }
}

fn seat(counter: &Arc<Counter>) -> Seat {
    let endpoint = Endpoint {
        id: "a".to_owned(),
        addr: ([127, 0, 0, 1], 1).into(),
    };
    let (revision, name) = ("r".into(), "m".into());
    let counter = Some(Arc::clone(counter));
    Seat::new(endpoint, revision, name, Arc::default(), counter)
}

fn epoch(comparisons: &Comparisons) -> Option<String> {
    let told = comparisons.told();
    told.0.get("team/m").map(|compared| compared.epoch.clone())
}

#[test]
fn counting_begins_anew_with_other_weights_alone() {
    let mut comparisons = Comparisons::default();
    let few = route(&[("new", 10), ("old", 90)]);
    let counters = comparisons.of(&few);
    counters["new"].fail();
    let first = epoch(&comparisons).unwrap();
    assert_eq!(comparisons.of(&few)["new"].told().failed, 1);
    assert_eq!(epoch(&comparisons), Some(first.clone()));
    let more = comparisons.of(&route(&[("new", 50), ("old", 50)]));
    counters["new"].fail();
    assert_eq!(more["new"].told(), Tally::default(), "it was sent before");
    assert_ne!(epoch(&comparisons), Some(first));
}

#[test]
fn nothing_is_counted_of_one_revision_alone_or_of_none() {
    let mut comparisons = Comparisons::default();
    for weights in [&[("old", 100)][..], &[("new", 0), ("old", 100)], &[]] {
        comparisons.of(&route(&[("new", 10), ("old", 90)]));
        assert!(comparisons.of(&route(weights)).is_empty());
        assert_eq!(epoch(&comparisons), None);
    }
    comparisons.of(&route(&[("new", 10), ("old", 90)]));
    comparisons.keep(|key| key != "team/m");
    assert_eq!(comparisons.told(), Tallies::default());
}

/// What is counted of an answer of `status` with these events, a second from each to the next.
fn measured(status: u16, events: &[&'static str], end: bool) -> Tally {
    let counter = Arc::default();
    let began = Instant::now();
    let mut now = began + Duration::from_secs(2);
    let mut measure = Measure::of(&seat(&counter), began, || now);
    for events in events {
        measure.events(&Bytes::from_static(events.as_bytes()), || now);
        now += Duration::from_secs(1);
    }
    if end {
        measure.complete(StatusCode::from_u16(status).unwrap(), || now);
        measure.cut();
    }
    drop(measure);
    counter.told()
}

fn near(quantile: Option<f64>, seconds: f64) -> bool {
    quantile.is_some_and(|it| (it / seconds).ln().abs() < 0.03)
}

#[test]
fn a_stream_tells_of_its_first_token_and_of_the_others() {
    let events = ["data: 1\n\ndata: 2\n\n", "data: 3\n\n", "data: 4\n\n"];
    let more = ["data: 5\n\n", "data: 6\n\n"];
    let tally = measured(200, &[&events[..], &more].concat(), true);
    assert_eq!((tally.answered, tally.failed), (1, 0));
    assert!(near(tally.first_token.quantile(0.5), 2.0));
    assert!(near(tally.latency.quantile(0.5), 7.0));
    assert!(near(tally.token_time.quantile(0.5), 1.0));
    let short = measured(200, &events, true);
    assert_eq!((short.answered, short.token_time.count()), (1, 0));
    let whole = measured(200, &[], true);
    assert!(near(whole.first_token.quantile(0.5), 2.0), "at its end");
}

#[test]
fn what_tells_nothing_of_the_revision_is_not_counted() {
    for (status, end) in [(400, true), (429, true), (503, true), (200, false)] {
        let tally = measured(status, &[], end);
        assert_eq!(tally, Tally::default(), "{status}");
    }
}

#[test]
fn an_error_is_a_failure_also_in_the_middle_of_a_stream() {
    let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    for (status, events) in [(500, &[][..]), (200, &["data: 1\n\n", error])] {
        let tally = measured(status, events, true);
        assert_eq!((tally.answered, tally.failed), (0, 1), "{status}");
    }
}
