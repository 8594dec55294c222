//! Requests of the Open Inference Protocol, led by the model in their path.

use axum::extract::Request;
use axum::response::IntoResponse;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Answer, Door, chat, config};
use crate::upstream::Upstream;

/// A replica that tells the path that it is asked by, and the body.
async fn echo() -> Upstream {
    let echo = |request: Request| async {
        let path = request.uri().to_string();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        axum::Json(json!({"path": path, "body": body})).into_response()
    };
    Upstream::new(echo).await
}

/// The message of an error in the protocol's own form.
fn message(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    match answer.json() {
        Value::Object(error) if error.len() == 1 => error["error"].as_str().unwrap().to_owned(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_path_names_the_model_and_the_body_is_passed_on_as_it_is() {
    let upstream = echo().await;
    let door = Door::before(upstream.alone()).await;
    for path in [
        "/v2/models/chat/infer",
        "/v2/models/ch%61t/versions/1/infer?x=%20",
    ] {
        let answer = door.send(Method::POST, path, "{\"model\": 7} ").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("x-chandler-revision"), Some("r1"));
        let wanted = json!({"path": path, "body": "{\"model\": 7} "});
        assert_eq!(answer.json(), wanted);
    }
    door.metric(r#"chandler_gateway_requests_total{code="200",model="chat",revision="r1"} 2"#)
        .await;
}

#[tokio::test]
async fn another_name_of_the_model_is_replaced_in_the_path() {
    let upstream = echo().await;
    let door = Door::open(config()).await;
    let mut table = chat(upstream.alone());
    let route = table.models["chat"].clone();
    table.models.insert("team/chat".to_owned(), route);
    door.gateway.publish(table);
    let path = "/v2/models/team%2Fchat/versions/1/infer";
    let answer = door.send(Method::POST, path, "{}").await;
    assert_eq!(answer.json()["path"], "/v2/models/chat/versions/1/infer");
}

#[tokio::test]
async fn errors_are_told_in_the_protocols_own_form() {
    let upstream = echo().await;
    let door = Door::before(upstream.alone()).await;
    let answer = door
        .send(Method::POST, "/v2/models/other/infer", "{}")
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(message(&answer).contains("other"), "{answer:?}");
    let long = vec![b' '; config().body_limit + 1];
    let answer = door.send(Method::POST, "/v2/models/chat/infer", long).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(message(&answer).contains("bytes"), "{answer:?}");
    assert_eq!(upstream.requests(), 0);
    let answer = door.get("/v2/models/chat/infer").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = door.get("/v2/models/chat/ready").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
