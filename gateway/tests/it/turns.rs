//! Keys take turns at a saturated model. What is looked at is the order of service, not time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chandler_gateway::{GatewayConfig, RouteTable};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::accounts::{CHAT, account, asks, keyed, used};
use crate::support::{Door, chat, config};
use crate::upstream::Upstream;

/// Whose requests a replica served, in order, with the tokens that each used.
type Served = Arc<Mutex<Vec<(String, u64)>>>;

/// A replica that begins with nothing until `gate` is opened, and uses what a request asks for.
async fn recording(gate: &Arc<Semaphore>) -> (Upstream, Served) {
    let served = Served::default();
    let (gate, record) = (gate.clone(), served.clone());
    let upstream = Upstream::new(move |request| {
        let (gate, record) = (gate.clone(), record.clone());
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let tokens = body["tokens"].as_u64().unwrap();
            let user = body["user"].as_str().unwrap().to_owned();
            drop(gate.acquire().await.unwrap());
            record.lock().unwrap().push((user, tokens));
            used(0, tokens)
        }
    })
    .await;
    (upstream, served)
}

async fn uses(door: &Door, name: &str, tokens: u64) {
    let body = json!({"model": "chat", "user": name, "tokens": tokens});
    let answer = asks(door, name, CHAT, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// A replica that works on one request at a time.
fn one_slot(upstream: &Upstream) -> RouteTable {
    let mut table = chat(upstream.alone());
    for route in table.models.values_mut() {
        route.slots = 1;
    }
    table
}

fn queued(requests: usize) -> String {
    format!(r#"chandler_gateway_requests_queued{{model="default/chat"}} {requests}"#)
}

#[tokio::test]
async fn keys_of_weights_one_and_three_share_a_saturated_model_so() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, served) = recording(&gate).await;
    let mut heavy = account("three");
    heavy.weight = 3;
    let door = keyed(&upstream, &[account("one"), heavy], config()).await;
    door.gateway.publish(one_slot(&upstream));
    let opened = async {
        door.metric(&queued(239)).await;
        gate.add_permits(1);
    };
    // Answers of other lengths than were reserved, and those of the one twice as long.
    let requests = (0..120).flat_map(|at| {
        let tokens = 50 + (at * 37) % 100;
        [uses(&door, "one", tokens), uses(&door, "three", 2 * tokens)]
    });
    tokio::join!(join_all(requests), opened);
    // While both have requests waiting, which is until the one of weight 3 has no more.
    let mut tokens: BTreeMap<String, u64> = BTreeMap::new();
    for (user, used) in served.lock().unwrap().iter().take(180) {
        *tokens.entry(user.clone()).or_default() += used;
    }
    let ratio = tokens["three"] as f64 / tokens["one"] as f64;
    assert!((2.7..=3.3).contains(&ratio), "{ratio}: {tokens:?}");
}

#[tokio::test]
async fn a_flood_of_one_key_drowns_only_itself() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, served) = recording(&gate).await;
    let config = GatewayConfig {
        max_waiting: 50,
        ..config()
    };
    let door = keyed(&upstream, &[account("heavy"), account("light")], config).await;
    door.gateway.publish(one_slot(&upstream));
    let body = json!({"model": "chat", "user": "heavy", "tokens": 100});
    let flood = (0..51).map(|_| asks(&door, "heavy", CHAT, body.clone()));
    let mut flood: FuturesUnordered<_> = flood.collect();
    let heavy = async {
        // The newest makes room for the one of the light key.
        let shed = flood.next().await.unwrap();
        assert_eq!(shed.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(shed.error().2, "model_saturated");
        assert!(shed.header("retry-after").is_some());
        gate.add_permits(1);
        while let Some(answer) = flood.next().await {
            assert_eq!(answer.status, StatusCode::OK);
        }
    };
    let light = async {
        door.metric(&queued(50)).await;
        uses(&door, "light", 100).await;
    };
    tokio::join!(heavy, light);
    let served = served.lock().unwrap().clone();
    let at = served.iter().position(|(user, _)| user == "light");
    assert_eq!(
        (at, served.len()),
        (Some(1), 51),
        "next after the one that ran"
    );
    assert!(door.has_metric(&queued(0)).await);
}
