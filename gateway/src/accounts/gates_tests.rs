#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use chandler_core::traffic::{Endpoint, RevisionRoute};
use futures::FutureExt;
use prometheus::Registry;

use super::*;

fn gates(longest: usize) -> Arc<Gates> {
    let metrics = AccountMetrics::new(&Registry::new()).unwrap();
    Arc::new(Gates::new(longest, metrics))
}

/// A model of so many replicas, each of which works on one request.
fn route(replicas: usize) -> ModelRoute {
    let endpoints = (0..replicas).map(|at| Endpoint {
        id: at.to_string(),
        addr: ([127, 0, 0, 1], 1).into(),
    });
    let revision = |weight, endpoints| RevisionRoute {
        revision: "r".into(),
        weight,
        endpoints,
    };
    ModelRoute {
        key: "n/m".into(),
        served_name: "m".into(),
        created: 0,
        revisions: vec![
            revision(1, endpoints.clone().collect()),
            revision(0, endpoints.collect()),
        ],
        slots: 1,
        ..ModelRoute::default()
    }
}

type Waits<'a> = Pin<Box<dyn Future<Output = Result<Turn, Full>> + 'a>>;

/// A request that has asked and, if it has its turn at once, got it.
fn asks<'a>(gates: &'a Arc<Gates>, route: &'a ModelRoute, account: AccountId) -> Waits<'a> {
    let turn = gates.turn(route, wish(account));
    Box::pin(async move {
        let mut turn = turn?;
        turn.come().await?;
        Ok(turn)
    })
}

fn wish(account: AccountId) -> Wish {
    Wish {
        account,
        weight: 1,
        cost: 10,
        patience: Duration::from_secs(3600),
    }
}

fn look(waits: &mut Waits<'_>) -> Option<Result<Turn, Full>> {
    match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => Some(turn),
        Poll::Pending => None,
    }
}

fn queued(gates: &Gates) -> usize {
    gates
        .models()
        .get("n/m")
        .map_or(0, |gate| gate.waiting.len())
}

fn table(replicas: usize) -> RouteTable {
    RouteTable {
        models: [("m".to_owned(), route(replicas))].into(),
    }
}

#[test]
fn room_is_what_the_ready_replicas_work_on() {
    assert_eq!(room(&route(0)), None);
    let three = |slots| ModelRoute { slots, ..route(3) };
    let eight = room(&three(8));
    assert_eq!(eight, Some(24), "those of weight 0 take nothing");
    assert_eq!(room(&three(0)), Some(3));
}

#[tokio::test]
async fn who_finds_no_room_waits_for_a_place_to_be_free() {
    let (gates, route) = (gates(9), route(1));
    let first = look(&mut asks(&gates, &route, 1)).unwrap().unwrap();
    let mut second = asks(&gates, &route, 2);
    assert!(look(&mut second).is_none());
    assert_eq!(queued(&gates), 1);
    drop(first);
    let place = look(&mut second).unwrap().unwrap();
    assert_eq!(queued(&gates), 0);
    drop((place, second));
    assert!(gates.models().is_empty(), "an idle gate is forgotten");
}

#[tokio::test]
async fn who_leaves_takes_no_turn_be_it_before_or_after_it_was_given() {
    let (gates, route) = (gates(9), route(1));
    let first = look(&mut asks(&gates, &route, 1)).unwrap().unwrap();
    let mut leaves = asks(&gates, &route, 2);
    let mut late = asks(&gates, &route, 3);
    let mut stays = asks(&gates, &route, 4);
    for waits in [&mut leaves, &mut late, &mut stays] {
        assert!(look(waits).is_none());
    }
    drop(leaves);
    assert_eq!(queued(&gates), 2);
    drop(first);
    // Its turn has come and it never looks.
    drop(late);
    assert!(look(&mut stays).unwrap().is_ok());
}

#[tokio::test]
async fn a_flood_gives_way_and_is_told() {
    let (gates, route) = (gates(2), route(1));
    let _first = look(&mut asks(&gates, &route, 1)).unwrap().unwrap();
    let mut flood = [asks(&gates, &route, 1), asks(&gates, &route, 1)];
    for waits in &mut flood {
        assert!(look(waits).is_none());
    }
    assert!(matches!(
        look(&mut asks(&gates, &route, 1)),
        Some(Err(Full))
    ));
    let mut light = asks(&gates, &route, 2);
    assert!(look(&mut light).is_none());
    assert!(matches!(look(&mut flood[1]), Some(Err(Full))));
    assert!(look(&mut flood[0]).is_none());
}

#[tokio::test]
async fn a_new_table_lets_go_whom_it_has_room_for() {
    let (gates, one) = (gates(9), route(1));
    let _first = look(&mut asks(&gates, &one, 1)).unwrap().unwrap();
    let mut waits: Vec<_> = (2..6).map(|account| asks(&gates, &one, account)).collect();
    assert!(waits.iter_mut().all(|waits| look(waits).is_none()));
    gates.rooms(&table(1));
    assert_eq!(queued(&gates), 4);
    gates.rooms(&table(3));
    assert_eq!(queued(&gates), 2);
    gates.rooms(&RouteTable::default());
    assert_eq!(queued(&gates), 0, "a model that is gone keeps nobody");
    for waits in &mut waits {
        assert!(look(waits).unwrap().is_ok());
    }
}

#[tokio::test]
async fn who_stops_waiting_for_a_moment_keeps_its_place() {
    let (gates, route) = (gates(9), route(1));
    let mut first = gates.turn(&route, wish(1)).unwrap();
    assert!(first.come().now_or_never().unwrap().is_ok());
    let mut early = gates.turn(&route, wish(2)).unwrap();
    let mut late = gates.turn(&route, wish(2)).unwrap();
    for _ in 0..3 {
        assert!(early.come().now_or_never().is_none());
        assert!(late.come().now_or_never().is_none());
    }
    assert_eq!(queued(&gates), 2);
    drop(first);
    assert!(late.come().now_or_never().is_none());
    assert!(early.come().now_or_never().unwrap().is_ok());
    assert!(early.has_come() && !late.has_come());
}
