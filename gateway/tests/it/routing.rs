use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse;
use futures::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Door, config, table, until};
use crate::upstream::Upstream;

#[tokio::test]
async fn held_requests_spread_over_the_least_loaded() {
    let gate = Arc::new(Semaphore::new(0));
    let mut upstreams = Vec::new();
    for _ in 0..2 {
        let gate = gate.clone();
        let held = move |_| {
            let gate = gate.clone();
            async move { gate.acquire().await.map(|_| "ok").unwrap() }
        };
        upstreams.push(Upstream::new(held).await);
    }
    let endpoints: Vec<_> = upstreams.iter().map(|u| u.endpoint.clone()).collect();
    let door = Door::before(&endpoints).await;
    let arrived = || upstreams.iter().map(Upstream::requests).sum::<usize>();
    let one_by_one = async {
        for sent in 1..6 {
            until("the next arrival", || arrived() >= sent).await;
        }
        until("all arrivals", || arrived() == 6).await;
        let loads = endpoints.iter().map(|e| door.gateway.in_flight(&e.id));
        assert_eq!(loads.collect::<Vec<_>>(), [3, 3]);
        assert!(
            door.has_metric(r#"chandler_gateway_requests_in_flight{model="chat"} 6"#)
                .await
        );
        gate.add_permits(6);
    };
    let requests = join_all((0..6).map(|_| door.chat()));
    let (answers, ()) = tokio::join!(requests, one_by_one);
    assert!(answers.iter().all(|a| a.status == StatusCode::OK));
    for (upstream, endpoint) in upstreams.iter().zip(&endpoints) {
        assert_eq!(upstream.requests(), 3);
        door.idle(endpoint).await;
    }
    assert!(
        door.has_metric(r#"chandler_gateway_requests_in_flight{model="chat"} 0"#)
            .await
    );
}

#[tokio::test]
async fn idle_replicas_share() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let door = Door::before(&[a.endpoint.clone(), b.endpoint.clone()]).await;
    for _ in 0..40 {
        assert_eq!(door.chat().await.status, StatusCode::OK);
    }
    // Six standard deviations of forty fair coins.
    assert!(a.requests() >= 2 && b.requests() >= 2, "{}", a.requests());
    assert_eq!(a.requests() + b.requests(), 40);
}

#[tokio::test]
async fn revisions_share_by_weight_and_are_named() {
    let (old, new) = (Upstream::named("old").await, Upstream::named("new").await);
    let door = Door::open(config()).await;
    let (old, new) = ([old.endpoint.clone()], [new.endpoint.clone()]);
    door.gateway
        .publish(table(&[("chat", &[("r1", 90, &old), ("r2", 10, &new)])]));
    let mut by_revision: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..100 {
        let answer = door.chat().await;
        let revision = answer.header("x-chandler-revision").unwrap().to_owned();
        let from = if revision == "r1" { "old" } else { "new" };
        assert_eq!(answer.json(), json!({ "from": from }));
        *by_revision.entry(revision).or_default() += 1;
    }
    assert!((8..=12).contains(&by_revision["r2"]), "{by_revision:?}");
    let line = format!(
        r#"chandler_gateway_requests_total{{code="200",model="chat",revision="r2"}} {}"#,
        by_revision["r2"]
    );
    assert!(door.has_metric(&line).await);
}

#[tokio::test]
async fn passes_bytes_headers_and_status_on() {
    let echo = |request: Request| async {
        let (parts, body) = request.into_parts();
        let seen = parts.headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap();
            (name.to_string(), json!(value))
        });
        let seen: serde_json::Map<_, _> = seen.collect();
        let body = body.collect().await.unwrap().to_bytes();
        let seen = json!({
            "headers": seen, "path": parts.uri.to_string(),
            "body": std::str::from_utf8(&body).unwrap(),
        });
        let headers = [
            ("content-type", "application/json"),
            ("x-chandler-revision", "its-own"),
            ("x-more", "1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ];
        (StatusCode::IM_A_TEAPOT, headers, seen.to_string()).into_response()
    };
    let upstream = Upstream::new(echo).await;
    let door = Door::before(upstream.alone()).await;
    let body = "{ \"model\" : \"chat\",\n\t\"z\": 1.50, \"a\": [] }\n";
    for path in [
        "/v1/embeddings?x=%20y",
        "/classify?x=%20y",
        "/tokenize?x=%20y",
        "/detokenize",
    ] {
        let answer = door.send(Method::POST, path, body).await;
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.header("x-chandler-revision"), Some("its-own"));
        assert_eq!(answer.header("x-more"), Some("1"));
        assert_eq!(answer.header("x-hop"), None);
        let seen = answer.json();
        assert_eq!(seen["body"], body);
        assert_eq!(seen["path"], path);
        assert_eq!(seen["headers"]["content-type"], "application/json");
        assert_eq!(seen["headers"]["host"], upstream.endpoint.addr.to_string());
    }
}

#[tokio::test]
async fn lists_every_model_of_the_table() {
    let door = Door::open(config()).await;
    assert_eq!(
        door.get("/readyz").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(door.get("/livez").await.status, StatusCode::OK);
    door.gateway
        .publish(table(&[("org/embed", &[]), ("chat", &[])]));
    assert_eq!(door.get("/readyz").await.json()["ready"], true);

    let model = |id| json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "chandler" });
    let list = door.get("/v1/models").await.json();
    assert_eq!(
        list,
        json!({ "object": "list", "data": [model("chat"), model("org/embed")] })
    );
    assert_eq!(door.get("/v1/models/chat").await.json(), model("chat"));
    assert_eq!(
        door.get("/v1/models/org/embed").await.json(),
        model("org/embed")
    );
    let unknown = door.get("/v1/models/nope").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.error().2, "model_not_found");
}

#[tokio::test]
async fn an_unknown_model_is_told_what_is_known() {
    let door = Door::open(config()).await;
    door.gateway
        .publish(table(&[("embed", &[]), ("chat", &[])]));
    let answer = door.ask("nope").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let wanted = (
        "invalid_request_error".into(),
        json!("model"),
        "model_not_found".into(),
    );
    assert_eq!(answer.error(), wanted);
    assert!(
        answer.message().contains("\"nope\""),
        "{}",
        answer.message()
    );
    assert!(
        answer.message().contains("chat, embed"),
        "{}",
        answer.message()
    );
    let metrics = door.get("/metrics").await;
    assert!(
        !metrics.text().contains("nope"),
        "callers can't make series"
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_openai_errors() {
    let door = Door::before(&[]).await;
    for path in ["/v1/images/generations", "/v1/", "/", "/v1/models/%ff"] {
        let answer = door.send(Method::GET, path, "").await;
        assert_eq!(
            (answer.status, answer.error().2),
            (StatusCode::NOT_FOUND, "unknown_url".into())
        );
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::PUT, "/v1/embeddings", "POST"),
        (Method::GET, "/classify", "POST"),
        (Method::GET, "/tokenize", "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::DELETE, "/v1/models/chat", "GET"),
    ] {
        let answer = door.send(method, path, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some(allow));
        assert_eq!(answer.error().2, "method_not_allowed");
    }
}
