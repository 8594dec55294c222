//! Keys take turns at a saturated model. What is looked at is the order of service, not time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chandler_gateway::{GatewayConfig, RouteTable};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::accounts::{CHAT, account, asks, begins, key, keyed, used};
use crate::support::{Client, Door, chat, config, piece, read, soon, until};
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

const HEARTBEAT: &str = ": waiting for a replica\n\n";

/// A gateway that begins a stream at once and tells of its life often, before a replica that is
/// busy with one request until `gate` is opened, and works on no other.
async fn busy(upstream: &Upstream, config: GatewayConfig) -> Door {
    let config = GatewayConfig {
        stream_patience: Duration::from_millis(1),
        heartbeat: Duration::from_millis(1),
        ..config
    };
    let accounts = [account("first"), account("second")];
    let door = keyed(upstream, &accounts, config).await;
    door.gateway.publish(one_slot(upstream));
    door
}

/// Once a first request is at the replica.
async fn then<T>(upstream: &Upstream, next: impl Future<Output = T>) -> T {
    until("the first request", || upstream.requests() == 1).await;
    next.await
}

fn stream_of(name: &str) -> Value {
    json!({"model": "chat", "user": name, "tokens": 5, "stream": true})
}

#[tokio::test]
async fn a_stream_that_waits_for_its_turn_hears_that_it_is_alive() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, served) = recording(&gate).await;
    let door = busy(&upstream, config()).await;
    let streamed = then(&upstream, async {
        let response = begins(&door, "second", CHAT, stream_of("second")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        for _ in 0..3 {
            assert_eq!(piece(&mut body).await.as_deref(), Some(HEARTBEAT));
        }
        // One of the same key that comes later is later, however often this one looked.
        let late = json!({"model": "chat", "user": "third", "tokens": 5});
        let rest = async {
            door.metric(&queued(2)).await;
            for _ in 0..3 {
                piece(&mut body).await;
            }
            gate.add_permits(1);
            soon("the end", body.collect()).await.unwrap().to_bytes()
        };
        let (late, rest) = tokio::join!(asks(&door, "second", CHAT, late), rest);
        assert_eq!(late.status, StatusCode::OK);
        String::from_utf8(rest.to_vec()).unwrap()
    });
    let ((), rest) = tokio::join!(uses(&door, "first", 5), streamed);
    let events = rest.trim_start_matches(HEARTBEAT);
    assert!(events.contains("completion_tokens"), "{events}");
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let served = served.lock().unwrap();
    let order: Vec<&str> = served.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(order, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_stream_that_waits_for_its_turn_in_vain_is_told_in_an_event() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, _) = recording(&gate).await;
    let config = GatewayConfig {
        wait_for_replica: Duration::from_millis(30),
        ..config()
    };
    let door = busy(&upstream, config).await;
    let streamed = then(&upstream, async {
        let answer = asks(&door, "second", CHAT, stream_of("second")).await;
        gate.add_permits(1);
        answer
    });
    let ((), answer) = tokio::join!(uses(&door, "first", 5), streamed);
    assert_eq!(answer.status, StatusCode::OK);
    let text = answer.text();
    assert!(text.starts_with(HEARTBEAT), "{text}");
    assert!(text.contains("\"code\":\"model_saturated\""), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(upstream.requests(), 1);
    assert!(door.has_metric(&queued(0)).await);
}

#[tokio::test]
async fn nobody_waits_for_a_turn_longer_than_its_caller_does() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, _) = recording(&gate).await;
    let door = busy(&upstream, config()).await;
    let late = then(&upstream, async {
        let body = json!({"model": "chat"}).to_string();
        let key = format!("Bearer {}", key("second"));
        let headers = [("authorization", &*key), ("x-request-timeout", "0.05")];
        let client = Client::of(door.addr);
        let answer = client.begin_with(Method::POST, CHAT, body, &headers).await;
        let answer = read(answer).await;
        gate.add_permits(1);
        answer
    });
    let ((), late) = tokio::join!(uses(&door, "first", 5), late);
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(late.error().2, "timeout");
    assert_eq!(upstream.requests(), 1);
}
