#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use chandler_core::traffic::health::EJECTION;
use chandler_core::traffic::{Endpoint, RevisionRoute};

use super::*;

const NOW: Duration = Duration::from_secs(1);

fn model(key: &str, ids: &[&str]) -> ModelRoute {
    let endpoints = ids.iter().map(|id| Endpoint {
        id: (*id).into(),
        addr: ([127, 0, 0, 1], 1).into(),
    });
    let revision = RevisionRoute {
        revision: "r".into(),
        weight: 100,
        endpoints: endpoints.collect(),
    };
    ModelRoute {
        key: key.into(),
        served_name: "m".into(),
        revisions: vec![revision],
        ..ModelRoute::default()
    }
}

fn table(ids: &[&str]) -> RouteTable {
    RouteTable {
        models: BTreeMap::from([("m".into(), model("default/m", ids))]),
    }
}

fn lease(routes: &Routes, turn: u64) -> Result<Lease, NoRoute> {
    let ask = Ask {
        draws: draws(turn),
        ..Ask::default()
    };
    routes.load().lease("m", &ask, NOW)
}

#[test]
fn a_count_outlives_the_table_that_named_it() {
    let routes = Routes::new();
    routes.publish(table(&["a"]));
    let held = lease(&routes, 0).unwrap();
    routes.publish(table(&[]));
    assert_eq!(routes.in_flight("a"), 1);
    assert_eq!(lease(&routes, 0).unwrap_err(), NoRoute::NoReadyReplica);
    routes.publish(table(&["a", "b"]));
    let other = lease(&routes, 0).unwrap();
    assert_eq!(other.endpoint.id, "b", "a is still busy");
    drop(held);
    assert_eq!((routes.in_flight("a"), routes.in_flight("b")), (0, 1));
}

#[test]
fn a_replica_that_failed_is_passed_over_also_by_the_next_table() {
    let routes = Routes::new();
    routes.publish(table(&["a", "b", "c"]));
    for turn in 0.. {
        let lease = lease(&routes, turn).unwrap();
        if lease.endpoint.id == "a" {
            (0..EJECTION.failures).for_each(|_| lease.failed(NOW));
            break;
        }
    }
    for ids in [&["a", "b", "c"][..], &["c", "a"]] {
        routes.publish(table(ids));
        for turn in 0..100 {
            assert_ne!(lease(&routes, turn).unwrap().endpoint.id, "a");
        }
    }
    routes.publish(table(&["a"]));
    assert!(lease(&routes, 0).is_ok(), "it is all there is");
}

#[test]
fn what_a_replica_reports_counts_as_load() {
    let routes = Routes::new();
    routes.publish(table(&["a", "b"]));
    let first = lease(&routes, 0).unwrap();
    first.report_queued_tokens(10_000, NOW);
    let held: Vec<_> = (0..10).map(|turn| lease(&routes, turn).unwrap()).collect();
    assert!(
        held.iter()
            .all(|lease| lease.endpoint.id != first.endpoint.id)
    );
}

#[test]
fn a_second_replica_is_another_that_nothing_speaks_against() {
    let routes = Routes::new();
    routes.publish(table(&["a"]));
    let second = |first: &Lease, turn| {
        let (snapshot, draws) = (routes.load(), draws(turn));
        snapshot.model("m").unwrap().second(first, draws, NOW)
    };
    let alone = lease(&routes, 0).unwrap();
    assert!(second(&alone, 0).is_none());
    routes.publish(table(&["a", "b"]));
    for turn in 0..20 {
        let other = second(&alone, turn).unwrap();
        assert_eq!((&*other.endpoint.id, &*other.revision), ("b", "r"));
    }
    let other = second(&alone, 0).unwrap();
    (0..EJECTION.failures).for_each(|_| other.failed(NOW));
    assert!(second(&alone, 0).is_none());
}

#[test]
fn what_is_known_of_a_models_times_outlives_a_table() {
    let routes = Routes::new();
    let known = |name| Arc::clone(&routes.load().model(name).unwrap().hedging);
    routes.publish(table(&["a"]));
    let before = known("m");
    let renamed = BTreeMap::from([("n".into(), model("default/m", &[]))]);
    routes.publish(RouteTable { models: renamed });
    assert!(Arc::ptr_eq(&before, &known("n")));
}

#[test]
fn a_lease_tells_what_the_table_said() {
    let routes = Routes::new();
    let route = model("default/m", &["a"]);
    routes.publish(RouteTable {
        models: BTreeMap::from([("other".into(), route)]),
    });
    let snapshot = routes.load();
    let lease = snapshot.lease("other", &Ask::default(), NOW).unwrap();
    assert_eq!((&*lease.revision, &*lease.served_name), ("r", "m"));
    let unknown = snapshot.lease("m", &Ask::default(), NOW).unwrap_err();
    assert_eq!(unknown, NoRoute::UnknownModel);
}

#[test]
fn names_of_one_model_share_it_and_it_is_listed_once() {
    let routes = Routes::new();
    let (own, other) = (model("default/m", &["a"]), model("team/m", &["b"]));
    routes.publish(RouteTable {
        models: BTreeMap::from([
            ("m".into(), own.clone()),
            ("default/m".into(), own),
            ("canary".into(), model("default/m", &["c"])),
            ("team/m".into(), other),
        ]),
    });
    let snapshot = routes.load();
    let of = |name| snapshot.model(name).unwrap();
    assert!(Arc::ptr_eq(of("m"), of("default/m")));
    assert!(!Arc::ptr_eq(of("m"), of("team/m")));
    assert!(!Arc::ptr_eq(of("m"), of("canary")), "it leads elsewhere");
    let names: Vec<_> = snapshot.listed().map(|(name, _)| name).collect();
    assert_eq!(names, ["m", "team/m"]);
}

#[test]
fn a_waiter_learns_of_a_change_made_before_it_asked() {
    let routes = Routes::new();
    let seen = routes.load().version;
    routes.publish(table(&["a"]));
    let changes = routes.changes();
    assert_ne!(*changes.borrow(), seen);
}

#[test]
fn draws_are_even_over_any_hundred_turns() {
    for start in [0, 1, 12_345, u64::MAX - 50] {
        let turns = (0..100).map(|i| draws(start.wrapping_add(i)).revision);
        let low = turns.filter(|draw| *draw < 0.1).count();
        assert!((8..=12).contains(&low), "{low} from {start}");
    }
}
