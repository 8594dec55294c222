//! Callers with API keys: who is let in, for what, and for how much.

use std::sync::{Arc, Mutex};

use axum::response::IntoResponse;
use bytes::Bytes;
use chandler_crds::names::headers;
use chandler_gateway::accounts::{Account, KeyHash, Keys};
use chandler_gateway::{Gateway, GatewayConfig};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Answer, Door, config, piece, read, soon, table};
use crate::upstream::{Guard, Upstream, from_channel};

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// An account with a key of its name, for all models and without limits.
pub(crate) fn account(name: &str) -> Account {
    Account {
        name: name.into(),
        hash: KeyHash::of(&key(name)),
        models: "*".parse().unwrap(),
        limits: Default::default(),
        weight: 1,
        created: None,
    }
}

pub(crate) fn key(name: &str) -> String {
    format!("sk-chandler-of-{name}")
}

fn publish(gateway: &Gateway, accounts: &[Account]) {
    gateway.publish_keys(Keys {
        accounts: accounts.to_vec(),
        refused: 0,
    });
}

/// Asks with a key.
pub(crate) async fn asks(door: &Door, name: &str, path: &str, body: Value) -> Answer {
    read(begins(door, name, path, body).await).await
}

/// The head of an answer to who asks with a key.
pub(crate) async fn begins(door: &Door, name: &str, path: &str, body: Value) -> Response<Incoming> {
    let method = match body.is_null() {
        true => Method::GET,
        false => Method::POST,
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", door.addr))
        .header("authorization", format!("Bearer {}", key(name)))
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    soon("an answer's head", door.request(request)).await
}

pub(crate) async fn chats(door: &Door, name: &str) -> Answer {
    asks(door, name, CHAT, json!({"model": "chat"})).await
}

/// An answer that tells what it used.
pub(crate) fn used(prompt: u64, answer: u64) -> axum::Json<Value> {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": answer});
    axum::Json(json!({"choices": [{}], "usage": usage}))
}

/// A gateway before the models `chat` and `embed` of one upstream, with these accounts.
pub(crate) async fn keyed(
    upstream: &Upstream,
    accounts: &[Account],
    config: GatewayConfig,
) -> Door {
    let door = Door::open(config).await;
    publish(&door.gateway, accounts);
    let replicas: &[_] = &[("r1", 100, upstream.alone())];
    door.gateway
        .publish(table(&[("chat", replicas), ("embed", replicas)]));
    door
}

#[tokio::test]
async fn who_has_no_key_is_not_let_in_once_there_is_one() {
    let upstream = Upstream::named("a").await;
    let door = keyed(&upstream, &[], config()).await;
    assert_eq!(door.chat().await.status, StatusCode::OK);
    assert_eq!(door.get("/readyz").await.json()["access"], "open");
    assert!(door.has_metric("chandler_gateway_open 1").await);

    publish(&door.gateway, &[account("team")]);
    let missing = [
        door.chat().await,
        door.get("/v1/models").await,
        door.get("/v1/models/chat").await,
    ];
    let wrong = chats(&door, "stranger").await;
    let message = wrong.message();
    for answer in missing.iter().chain([&wrong]) {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let (kind, param, code) = answer.error();
        assert_eq!(
            (kind.as_str(), code.as_str()),
            ("invalid_request_error", "invalid_api_key")
        );
        assert_eq!(param, Value::Null);
        assert!(answer.message().contains("Authorization: Bearer"));
    }
    assert!(!message.contains("stranger") && message != missing[0].message());
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
    assert_eq!(upstream.requests(), 2, "only those that were let in");
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(door.get(open).await.status, StatusCode::OK);
    }
    assert_eq!(door.get("/readyz").await.json()["access"], "keys");
    assert!(door.has_metric("chandler_gateway_open 0").await);
}

#[tokio::test]
async fn before_the_keys_are_known_nobody_is_let_in() {
    let upstream = Upstream::named("a").await;
    let door = keyed(&upstream, &[], config()).await;
    door.gateway.await_keys();
    let answer = chats(&door, "team").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(door.get("/readyz").await.json()["reason"], "NoKeys");
    // A key that can't be read keeps the door shut.
    let accounts = Vec::new();
    door.gateway.publish_keys(Keys {
        accounts,
        refused: 1,
    });
    assert_eq!(chats(&door, "team").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(door.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_revoked_key_works_no_more_and_a_new_one_at_once() {
    let upstream = Upstream::named("a").await;
    let door = keyed(&upstream, &[account("old")], config()).await;
    assert_eq!(chats(&door, "old").await.status, StatusCode::OK);
    publish(&door.gateway, &[account("new")]);
    assert_eq!(chats(&door, "old").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(chats(&door, "new").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_model_that_a_key_may_not_use_is_none() {
    let upstream = Upstream::named("a").await;
    let mut limited = account("team");
    limited.models = "chat,gone".parse().unwrap();
    limited.limits.requests_per_minute = Some(10);
    let door = keyed(&upstream, &[limited, account("all")], config()).await;
    let hidden = asks(&door, "team", "/v1/embeddings", json!({"model": "embed"})).await;
    let absent = asks(&door, "team", "/v1/embeddings", json!({"model": "nope!"})).await;
    let gone = asks(&door, "team", "/v1/embeddings", json!({"model": "gone"})).await;
    for answer in [&hidden, &absent, &gone] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.error().2, "model_not_found");
        assert!(
            answer.message().contains("Served here: chat."),
            "{}",
            answer.message()
        );
    }
    let heads = [&hidden, &absent, &gone].map(|it| {
        let mut head = it.headers.clone();
        head.remove("date");
        // Each request has its own.
        head.remove("x-request-id");
        head.remove("content-length");
        head
    });
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");

    let ids = async |name| {
        let list = asks(&door, name, "/v1/models", Value::Null).await.json();
        let ids = list["data"].as_array().unwrap().iter();
        ids.map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("team").await, ["chat"]);
    assert_eq!(ids("all").await, ["chat", "embed"]);
    for (model, status) in [("chat", StatusCode::OK), ("embed", StatusCode::NOT_FOUND)] {
        let path = format!("/v1/models/{model}");
        assert_eq!(asks(&door, "team", &path, Value::Null).await.status, status);
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_key_goes_no_further_than_the_gateway() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let headers = seen.clone();
    let upstream = Upstream::new(move |request| {
        headers.lock().unwrap().push(request.headers().clone());
        async { used(1, 1) }
    })
    .await;
    let door = keyed(&upstream, &[account("team")], config()).await;
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
    let shown = format!("{:?} {:?}", seen.lock().unwrap(), door.gateway);
    assert!(!shown.contains(&key("team")), "{shown}");
    assert!(!seen.lock().unwrap()[0].contains_key("authorization"));
    // What is no key of ours is the replica's to judge.
    publish(&door.gateway, &[]);
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
    assert!(seen.lock().unwrap()[1].contains_key("authorization"));
}

#[tokio::test]
async fn a_replica_is_told_who_asks_by_the_gateway_alone() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let upstream = Upstream::new(move |request| {
        let caller = request.headers().get(headers::CALLER).cloned();
        told.lock().unwrap().push(caller);
        async { used(1, 1) }
    })
    .await;
    let door = keyed(&upstream, &[account("team")], config()).await;
    for accounts in [&[account("team")][..], &[]] {
        publish(&door.gateway, accounts);
        let request = Request::post(format!("http://{}{CHAT}", door.addr))
            .header("authorization", format!("Bearer {}", key("team")))
            .header(headers::CALLER, "another")
            .body(Full::new(Bytes::from_static(br#"{"model": "chat"}"#)));
        let head = soon("an answer's head", door.request(request.unwrap())).await;
        assert_eq!(head.status(), StatusCode::OK);
    }
    let team = HeaderValue::from_static("team");
    assert_eq!(*seen.lock().unwrap(), [Some(team), None]);
}

#[tokio::test]
async fn requests_a_minute_run_out() {
    let upstream = Upstream::named("a").await;
    let mut two = account("team");
    two.limits.requests_per_minute = Some(2);
    let door = keyed(&upstream, &[two.clone(), account("other")], config()).await;
    for left in ["1", "0"] {
        let answer = chats(&door, "team").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        assert!(
            answer
                .header("x-ratelimit-reset-requests")
                .unwrap()
                .ends_with('s')
        );
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), None);
    }
    let refused = chats(&door, "team").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let (kind, _, code) = refused.error();
    assert_eq!(
        (kind.as_str(), code.as_str()),
        ("requests", "rate_limit_exceeded")
    );
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&after), "{after}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(chats(&door, "other").await.status, StatusCode::OK);
    // An update of the keys is no gift.
    publish(&door.gateway, &[two]);
    assert_eq!(
        chats(&door, "team").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(upstream.requests(), 3);
    let line = r#"chandler_gateway_rate_limited_total{account="team",bound="RequestsPerMinute"} 2"#;
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn tokens_are_reserved_by_estimate_and_settled_by_use() {
    let upstream = Upstream::new(|_| async { used(40, 160) }).await;
    let mut thousand = account("team");
    thousand.limits.tokens_per_minute = Some(1000);
    let door = keyed(&upstream, &[thousand], config()).await;
    let ask = async |tokens: u64| {
        let body = json!({"model": "chat", "max_tokens": tokens});
        asks(&door, "team", CHAT, body).await
    };
    let remaining = |answer: &Answer| {
        let left = answer.header("x-ratelimit-remaining-tokens").unwrap();
        left.parse::<u64>().unwrap()
    };
    let first = ask(500).await;
    assert_eq!(first.status, StatusCode::OK);
    // The body is 33 bytes long: 9 tokens. A bucket refills while the test runs, so there may be
    // more than that.
    assert!((491..600).contains(&remaining(&first)), "{first:?}");
    let second = ask(500).await;
    assert!(
        (291..500).contains(&remaining(&second)),
        "800 were left: {second:?}"
    );
    let line = r#"chandler_gateway_tokens_total{account="team",direction="out",model="chat"} 320"#;
    assert!(door.has_metric(line).await);
    let never = ask(5000).await;
    assert_eq!(never.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(never.error().0, "tokens");
    assert_eq!(never.header("retry-after"), None);
    assert!(
        never.message().contains("smaller max_tokens"),
        "{}",
        never.message()
    );
    let later = ask(950).await;
    assert_eq!(later.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(later.header("retry-after").is_some());
}

#[tokio::test]
async fn texts_that_are_read_alone_reserve_no_tokens_of_an_answer() {
    let upstream = Upstream::new(|request| async move {
        axum::Json(match request.uri().path() {
            "/classify" => json!({"data": [], "usage": {"prompt_tokens": 40}}),
            _ => json!({"count": 1000}),
        })
    });
    let upstream = upstream.await;
    let mut hundred = account("team");
    hundred.limits.tokens_per_minute = Some(100);
    let door = keyed(&upstream, &[hundred], config()).await;
    let body = json!({"model": "chat", "input": "a text"});
    let answer = asks(&door, "team", "/classify", body).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "256 for an answer are too many"
    );
    let line = r#"chandler_gateway_tokens_total{account="team",direction="in",model="chat"} 40"#;
    assert!(door.has_metric(line).await);
    // Telling tokens uses none.
    let body = json!({"model": "chat", "prompt": "x".repeat(4000)});
    let answer = asks(&door, "team", "/tokenize", body).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(door.has_metric(line).await);
}

#[tokio::test]
async fn requests_at_one_time_are_bounded_until_answers_end() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let upstream = Upstream::new(move |_| {
        let gate = opened.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            used(1, 1)
        }
    })
    .await;
    let mut two = account("team");
    two.limits.max_concurrent = Some(2);
    let door = keyed(&upstream, &[two, account("other")], config()).await;
    let rest = async {
        crate::support::until("two requests", || upstream.requests() == 2).await;
        let refused = chats(&door, "team").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.error().2, "rate_limit_exceeded");
        assert_eq!(refused.header("retry-after"), Some("1"));
        gate.add_permits(2);
    };
    let (first, second, ()) = tokio::join!(chats(&door, "team"), chats(&door, "team"), rest);
    assert_eq!(
        (first.status, second.status),
        (StatusCode::OK, StatusCode::OK)
    );
    gate.add_permits(1);
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
}

const EVENTS: &str = "data: {\"choices\":[{}]}\n\ndata: {\"choices\":[{}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A replica that streams, and tells the usage to who asks for it and `knows` how.
async fn streaming(knows: bool) -> Upstream {
    Upstream::new(move |request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let asked = body["stream_options"]["include_usage"] == true;
        let usage = if asked && knows { USAGE } else { "" };
        let events = format!("{EVENTS}{usage}{DONE}");
        ([("content-type", "text/event-stream")], events)
    })
    .await
}

#[tokio::test]
async fn a_stream_is_counted_and_looks_as_it_was_asked_for() {
    for (knows, asks_usage, tokens) in [(true, false, 5), (true, true, 5), (false, false, 2)] {
        let upstream = streaming(knows).await;
        let door = keyed(&upstream, &[account("team")], config()).await;
        let mut body = json!({"model": "chat", "stream": true});
        if asks_usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let answer = asks(&door, "team", CHAT, body).await;
        let usage = if asks_usage { USAGE } else { "" };
        assert_eq!(answer.text(), format!("{EVENTS}{usage}{DONE}"));
        let line = format!(
            r#"chandler_gateway_tokens_total{{account="team",direction="out",model="chat"}} {tokens}"#
        );
        door.metric(&line).await;
    }
}

#[tokio::test]
async fn who_leaves_a_stream_frees_its_place_and_pays_for_what_was_sent() {
    let (pieces, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let upstream = Upstream::new(move |_| {
        let stream = receiver.lock().unwrap().take();
        let answer = stream.map(|it| from_channel("text/event-stream", it, Guard::default()));
        async { answer.unwrap_or_else(|| used(1, 1).into_response()) }
    })
    .await;
    let mut one = account("team");
    one.limits.max_concurrent = Some(1);
    let door = keyed(&upstream, &[one], config()).await;
    pieces.send(EVENTS).unwrap();
    let mut response = begins(
        &door,
        "team",
        CHAT,
        json!({"model": "chat", "stream": true}),
    )
    .await;
    assert!(piece(response.body_mut()).await.is_some());
    let meanwhile = chats(&door, "team").await;
    assert_eq!(meanwhile.status, StatusCode::TOO_MANY_REQUESTS);
    drop(response);
    let line = r#"chandler_gateway_tokens_total{account="team",direction="out",model="chat"} 2"#;
    door.metric(line).await;
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
    drop(pieces);
}
