//! Leases that several processes want.

use chandler_operator::health::Pulse;
use chandler_operator::lead::Elector;
use http::Method;
use serde_json::Value;

use crate::fake::{FakeApi, Line};
use crate::{TIMING, soon, until};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/chandler/leases/operator";

fn elector(api: &FakeApi, line: &Line, me: &str) -> Elector {
    let client = api.client_on(line);
    Elector::new(client, "chandler", "operator", me, TIMING, Pulse::new())
}

/// Comes after some more renewals.
async fn renewals(api: &FakeApi) {
    let wanted = api.answered(&Method::PUT) + 5;
    until("renewals", || api.answered(&Method::PUT) >= wanted).await;
}

fn spec(api: &FakeApi) -> Value {
    api.get(LEASE).expect("a lease")["spec"].clone()
}

#[tokio::test]
async fn the_first_makes_the_lease_and_keeps_it() {
    let (api, line) = (FakeApi::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    let mut second = elector(&api, &line, "second");
    first.acquire().await;
    let made = spec(&api);
    assert_eq!(made["holderIdentity"], "first");
    assert_eq!(made["leaseDurationSeconds"], 3);
    assert_eq!(made["leaseTransitions"], 0);
    tokio::select! {
        () = first.hold() => panic!("lost a lease that nobody else may take"),
        () = second.acquire() => panic!("took a lease that is held"),
        () = renewals(&api) => {}
    }
    let kept = spec(&api);
    assert_eq!(kept["acquireTime"], made["acquireTime"]);
    assert_ne!(kept["renewTime"], made["renewTime"]);
    assert!(first.tenure().holds());
    assert!(!second.tenure().holds());
}

#[tokio::test]
async fn renewing_needs_one_request() {
    let (api, line) = (FakeApi::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    first.acquire().await;
    api.calls();
    tokio::select! {
        () = first.hold() => panic!("lost"),
        () = renewals(&api) => {}
    }
    let calls = api.calls();
    assert!(!calls.is_empty());
    assert!(calls.iter().all(|call| call.method == "PUT"), "{calls:?}");
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let api = FakeApi::default();
    let (line, other_line) = (Line::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    let mut second = elector(&api, &other_line, "second");
    first.acquire().await;
    let (cut, tenure) = (line.clone(), first.tenure());
    let led = tokio::spawn(async move {
        first.hold().await;
        assert!(!first.tenure().holds());
        first
    });
    cut.cut();
    soon("the second", second.acquire()).await;
    assert!(!tenure.holds(), "two lead");
    assert_eq!(spec(&api)["holderIdentity"], "second");
    assert_eq!(spec(&api)["leaseTransitions"], 1);

    // It stands by again, and follows once the second has gone.
    let mut first = led.await.unwrap();
    line.mend();
    tokio::select! {
        () = first.acquire() => panic!("took a lease that is held"),
        () = second.hold() => panic!("lost"),
        () = renewals(&api) => {}
    }
    second.release().await;
    first.acquire().await;
    assert!(first.tenure().holds());
}

#[tokio::test]
async fn a_short_outage_costs_nothing() {
    let (api, line) = (FakeApi::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    first.acquire().await;
    line.cut();
    let outage = async {
        until("lost renewals", || line.lost() >= 3).await;
        line.mend();
        renewals(&api).await;
    };
    tokio::select! {
        () = first.hold() => panic!("lost"),
        () = outage => {}
    }
    assert!(first.tenure().holds());
}

#[tokio::test]
async fn what_is_handed_over_has_no_holder() {
    let (api, line) = (FakeApi::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    let mut second = elector(&api, &line, "second");
    first.acquire().await;
    first.release().await;
    assert!(!first.tenure().holds());
    assert_eq!(spec(&api).get("holderIdentity"), None);
    api.calls();
    second.acquire().await;
    let asked: Vec<String> = api.calls().iter().map(|it| it.method.to_string()).collect();
    assert_eq!(asked, ["GET", "PUT"], "at once");
    second.release().await;
    api.calls();
    second.release().await;
    assert_eq!(
        api.calls(),
        [],
        "who does not lead has nothing to hand over"
    );
}

#[tokio::test]
async fn a_process_that_comes_back_goes_on() {
    let (api, line) = (FakeApi::default(), Line::default());
    elector(&api, &line, "first").acquire().await;
    api.calls();
    elector(&api, &line, "first").acquire().await;
    assert_eq!(api.calls().len(), 2, "it waits for nobody");
}

#[tokio::test]
async fn edits_by_hand_are_lived_with() {
    let (api, line) = (FakeApi::default(), Line::default());
    let mut first = elector(&api, &line, "first");
    first.acquire().await;
    // Touched: the next renewal finds another version and still its own name.
    api.put(LEASE, api.get(LEASE).unwrap());
    let edits = async {
        renewals(&api).await;
        api.delete(LEASE);
        renewals(&api).await;
    };
    tokio::select! {
        () = first.hold() => panic!("lost"),
        () = edits => {}
    }
    assert_eq!(spec(&api)["holderIdentity"], "first");
    let mut stolen = api.get(LEASE).unwrap();
    stolen["spec"]["holderIdentity"] = "thief".into();
    api.put(LEASE, stolen);
    soon("the loss", first.hold()).await;
    assert!(!first.tenure().holds());
    assert_eq!(spec(&api)["holderIdentity"], "thief");
}
