use serde_json::json;

use super::testing::{Asked, reply, reply_with, serve};
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

async fn posted(answer: String) -> ServerError {
    let url = serve(move |_| {
        let answer = answer.clone();
        async move { answer }
    })
    .await;
    let client = Client::new(&url, None).expect("a client");
    let refused = client.post(api::CHAT, "{}".to_owned(), PATIENCE).await;
    refused.expect_err("no success")
}

#[tokio::test]
async fn a_key_and_a_path_are_sent_whichever_way_the_address_ends() {
    let told = async |asked: Asked| {
        let has_key = asked.head.contains("authorization: bearer secret");
        reply(
            200,
            &json!({"data": [{"id": asked.path, "key": has_key}]}).to_string(),
        )
    };
    let url = serve(told).await;
    let text = url.as_str().trim_end_matches("/v1/");
    for address in [
        text.to_owned(),
        format!("{text}/"),
        format!("{text}/v1"),
        format!("{text}/v1/"),
    ] {
        let url = address.parse().expect("an address");
        let client = Client::new(&url, Some("Secret".to_owned())).expect("a client");
        let models = client.models(PATIENCE).await.expect("models");
        assert_eq!(models, [json!({"id": api::MODELS, "key": true})]);
    }
}

#[tokio::test]
async fn a_busy_server_tells_when_to_come_back() {
    let with = |status| reply_with(status, "retry-after: 7\r\n", "");
    let seven = Some(Duration::from_secs(7));
    assert_eq!(posted(with(429)).await.retry_after(), seven);
    assert_eq!(posted(with(503)).await.retry_after(), seven);
    // These will not go away by themselves.
    assert_eq!(posted(with(500)).await.retry_after(), None);
    assert_eq!(posted(with(400)).await.retry_after(), None);
    assert_eq!(posted(reply(429, "")).await.retry_after(), None);
}

#[tokio::test]
async fn a_server_that_does_not_end_is_late() {
    let url = serve(async |_| std::future::pending().await).await;
    let client = Client::new(&url, None).expect("a client");
    let patience = Duration::from_millis(50);
    let late = client.post(api::CHAT, "{}".to_owned(), patience).await;
    assert_eq!(late.expect_err("no answer").reason(), "AnswerLate");
}
