//! Perplexity of references, by servers that tell how likely a prompt is.

use super::*;

/// A server whose tokens are bytes, with one that begins every prompt, and which finds each as likely as `share` says.
async fn bytes(share: fn(u64) -> f64) -> Url {
    let told = move |asked: Asked| async move {
        let json = asked.json;
        match asked.path.as_str() {
            "/tokenize" => {
                let text = json["prompt"]
                    .as_str()
                    .or(json["messages"][0]["content"].as_str());
                let begins = json["add_special_tokens"] != false;
                let tokens = begins.then_some(1).into_iter();
                let tokens = tokens.chain(text.unwrap_or_default().bytes().map(u64::from));
                reply(
                    200,
                    &json!({"tokens": tokens.collect::<Vec<_>>()}).to_string(),
                )
            }
            "/v1/completions" if json["echo"] == true && json["max_tokens"] == 0 => {
                let tokens: Vec<u64> =
                    serde_json::from_value(json["prompt"].clone()).expect("tokens");
                let told = tokens.iter().enumerate();
                let told = told.map(|(at, token)| (at > 0).then(|| share(*token).ln()));
                let told = json!({"token_logprobs": told.collect::<Vec<_>>()});
                reply(
                    200,
                    &json!({"choices": [{"text": "", "logprobs": told}]}).to_string(),
                )
            }
            _ => reply(404, ""),
        }
    };
    serve(told).await
}

async fn perplexity(servers: &str, suite: &str) -> Result<Value, Fault> {
    let args =
        parse(&format!("--metric perplexity {servers} --model m --min 3")).expect("arguments");
    let suite = Suite::parse(suite, Metric::Perplexity).expect("a suite");
    let told = judged(&args, &suite).await?;
    Ok(serde_json::from_str(&told.json).expect("JSON"))
}

const SUITE: &str = r#"{"id": "text", "input": "The sky is", "references": [" blue", " grey"]}
{"id": "chat", "messages": [{"role": "user", "content": "Hi"}], "references": "Hello"}"#;

#[tokio::test]
async fn it_is_that_of_the_tokens_of_all_references_and_of_no_others() {
    let (stable, canary) = (
        bytes(|_| 0.5).await,
        bytes(|it| if it == 1 { 0.0 } else { 0.25 }).await,
    );
    let told = perplexity(&format!("--canary {stable}"), SUITE)
        .await
        .expect("a verdict");
    assert_eq!(told["verdict"]["outcome"], "pass", "{told}");
    let score = told["score"].as_f64().expect("a number");
    assert!((score - 2.0).abs() < 1e-9, "{told}");
    let both = format!("--stable {stable} --canary {canary}");
    let told = perplexity(&both, SUITE).await.expect("a verdict");
    assert_eq!(told["verdict"]["outcome"], "fail", "{told}");
    let score = told["comparison"]["canary"].as_f64().expect("a number");
    assert!((score - 4.0).abs() < 1e-9, "{told}");
}

#[tokio::test]
async fn a_server_that_does_not_tell_it_is_a_fault() {
    let silent = model(|_| "a").await;
    let fault = perplexity(&format!("--canary {silent}"), SUITE).await;
    let fault = fault.expect_err("it has no /tokenize").to_string();
    assert!(fault.contains("item `text`: the canary"), "{fault}");
}
