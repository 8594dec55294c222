use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

use super::*;

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn models_are_listed_and_others_are_not_found() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let (status, body) = server.get("/v1/models").await;
    assert_eq!((status, &body["object"]), (200, &json!("list")));
    assert_eq!(body["data"][0]["id"], "toy");
    assert_eq!(body["data"][0]["object"], "model");
    assert_eq!(body["data"][0]["max_model_len"], 512);
    let model = &body["data"][0];
    assert_eq!(model["endpoints"], json!([CHAT, COMPLETIONS]));
    assert_eq!(model["dimensions"], Value::Null);
    let (status, body) = server.get("/v1/models/toy").await;
    assert_eq!((status, &body["id"]), (200, &json!("toy")));
    for (status, body) in [
        server.get("/v1/models/some/other").await,
        server.post(CHAT, &chat(&json!({"model": "other"}))).await,
    ] {
        assert_eq!((status, code(&body)), (404, "model_not_found"));
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].as_str().unwrap().contains("`toy`"));
    }
    let (status, body) = server.post(CHAT, &json!({"messages": []})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("model")));
}

#[tokio::test]
async fn what_decides_how_prompts_are_read_has_fingerprints() {
    let fingerprints = async |model: LoadedModel, task: Task| {
        let server = Server::start_with(model, task, 4, Duration::from_secs(600)).await;
        server.get("/v1/models/toy").await.1
    };
    let chat = fingerprints(text_model(ToyLm::new("ok")), Task::Auto).await;
    // The first digits of sha256sum of the template.
    assert_eq!(chat["fingerprints"]["chat_template"], "93e1ff5acc7c06c0");
    let completion = fingerprints(text_model(ToyLm::new("ok")), Task::Completion).await;
    assert_eq!(completion["endpoints"], json!([COMPLETIONS]));
    assert_eq!(completion["fingerprints"]["chat_template"], Value::Null);
    let embedding = fingerprints(embedding_model(), Task::Auto).await;
    assert_eq!(embedding["endpoints"], json!([EMBEDDINGS]));
    assert_eq!(embedding["max_model_len"], 64);
    assert_eq!(embedding["dimensions"], 3);
    let tokenizer = &chat["fingerprints"]["tokenizer"];
    assert_eq!(tokenizer.as_str().map(str::len), Some(16));
    for same in [completion, embedding] {
        assert_eq!(&same["fingerprints"]["tokenizer"], tokenizer);
    }
}

#[tokio::test]
async fn paths_methods_and_bodies_that_are_wrong() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let (status, body) = server.post("/v1/nothing", &json!({})).await;
    assert_eq!((status, code(&body)), (404, "unknown_path"));
    let (status, body) = server.get(CHAT).await;
    assert_eq!((status, code(&body)), (405, "method_not_allowed"));
    let url = format!("{}{CHAT}", server.base);
    let broken = server
        .client
        .post(&url)
        .header(CONTENT_TYPE, "application/json");
    let (status, body) = read(broken.body("{\"model\": ").send().await.unwrap()).await;
    assert_eq!((status, code(&body)), (400, "invalid_json"));
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("line 1")
    );
    let plain = server
        .client
        .post(&url)
        .body("{}")
        .header(CONTENT_TYPE, "text/plain");
    let (status, body) = read(plain.send().await.unwrap()).await;
    assert_eq!((status, code(&body)), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn a_body_of_ten_megabytes_hears_why() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let long = "x".repeat(10_000_000);
    let body = chat(&json!({"messages": [{"role": "user", "content": long}]}));
    let (status, body) = server.post(CHAT, &body).await;
    assert_eq!((status, code(&body)), (413, "request_too_large"));
    let (status, _) = server.post(CHAT, &chat(&json!({}))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn prompts_longer_than_the_context() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let prompt = json!({"model": "toy", "prompt": "x".repeat(600)});
    let (status, body) = server.post(COMPLETIONS, &prompt).await;
    assert_eq!((status, code(&body)), (400, "context_length_exceeded"));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("601") && message.contains("512"),
        "{message}"
    );
}

#[tokio::test]
async fn endpoints_of_another_task_name_the_right_one() {
    let server = Server::start(embedding_model()).await;
    for (path, body) in [
        (CHAT, chat(&json!({}))),
        (COMPLETIONS, json!({"model": "toy", "prompt": "x"})),
    ] {
        let (status, body) = server.post(path, &body).await;
        assert_eq!((status, code(&body)), (400, "wrong_endpoint"));
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("`embedding`") && message.contains(EMBEDDINGS),
            "{message}"
        );
    }
    let grace = Duration::from_secs(600);
    let lm = text_model(ToyLm::new("ok"));
    let server = Server::start_with(lm, Task::Completion, 4, grace).await;
    let (status, body) = server.post(CHAT, &chat(&json!({}))).await;
    assert_eq!((status, code(&body)), (400, "wrong_endpoint"));
    let (_, body) = server
        .post(EMBEDDINGS, &json!({"model": "toy", "input": "x"}))
        .await;
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains(COMPLETIONS)
    );
}

#[tokio::test]
async fn a_full_queue_is_told_with_a_time_to_come_back() {
    let (steps, model) = gated("abc");
    let server = Server::start_with(model, Task::Auto, 1, Duration::from_secs(600)).await;
    let first = tokio::spawn(server.request(CHAT, &chat(&json!({}))).send());
    server
        .until_metric(r#"vllm:num_requests_running{model_name="toy"} 1"#)
        .await;
    let second = tokio::spawn(server.request(CHAT, &chat(&json!({}))).send());
    server
        .until_metric(r#"vllm:num_requests_waiting{model_name="toy"} 1"#)
        .await;
    let third = server
        .request(CHAT, &chat(&json!({})))
        .send()
        .await
        .unwrap();
    let after = third.headers()[RETRY_AFTER].to_str().unwrap().to_owned();
    assert!(after.parse::<u64>().unwrap() >= 1);
    let (status, body) = read(third).await;
    assert_eq!((status, code(&body)), (429, "queue_full"));
    assert_eq!(body["error"]["type"], "rate_limit_error");
    // Health does not wait for the engine.
    assert_eq!(server.get("/livez").await.0, 200);
    assert_eq!(server.get("/readyz").await, (200, json!({"ready": true})));
    drop(steps);
    for request in [first, second] {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn while_memory_is_low_nothing_new_begins_beside_what_runs() {
    let (steps, model) = gated("abc");
    let server = Server::start(model).await;
    let first = tokio::spawn(server.request(CHAT, &chat(&json!({}))).send());
    let running = r#"vllm:num_requests_running{model_name="toy"} 1"#;
    server.until_metric(running).await;
    server.app.memory.read(1 << 20);
    let second = server.request(CHAT, &chat(&json!({}))).send().await;
    let second = second.unwrap();
    let after = second.headers()[RETRY_AFTER].to_str().unwrap().to_owned();
    assert!(after.parse::<u64>().unwrap() >= 1);
    let (status, body) = read(second).await;
    assert_eq!((status, code(&body)), (429, "memory_low"));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("1 MiB of memory are left"), "{message}");
    let refused = r#"chandler:memory_refusals_total{model_name="toy"} 1"#;
    server.assert_measured(&[refused, running]).await;
    assert_eq!(server.get("/v1/models").await.0, 200, "nothing is computed");
    drop(steps);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    // Alone, a request is let in all the same.
    assert_eq!(server.post(CHAT, &chat(&json!({}))).await.0, 200);
}

#[tokio::test]
async fn before_the_model_is_there() {
    let server = Server::start_empty(Duration::ZERO).await;
    server.app.lifecycle.advance(Phase::Downloading, 5, 20);
    let (status, mut body) = server.get("/startupz").await;
    assert!(body["phases"]["resolving"].is_number(), "{body}");
    body["phases"] = json!({});
    let expected = json!({"phase": "downloading", "bytesDone": 5, "bytesTotal": 20, "phases": {}});
    assert_eq!((status, body), (503, expected));
    let not_ready = json!({"ready": false, "reason": "Loading"});
    assert_eq!(server.get("/readyz").await, (503, not_ready));
    assert_eq!(server.get("/livez").await.0, 200);
    let response = server
        .request(CHAT, &chat(&json!({})))
        .send()
        .await
        .unwrap();
    assert!(response.headers().contains_key(RETRY_AFTER));
    let (status, body) = read(response).await;
    assert_eq!((status, code(&body)), (503, "model_not_ready"));
    let line = r#"chandler:load_phase{model_name="toy",phase="downloading"} 1"#;
    server.until_metric(line).await;
    server
        .app
        .lifecycle
        .fail("WeightsTruncated", "fetch it again");
    let (_, body) = server.get("/startupz").await;
    assert_eq!(body["phase"], "failed");
    assert_eq!(body["reason"], "WeightsTruncated");
    let failed = json!({"ready": false, "reason": "LoadFailed"});
    assert_eq!(server.get("/readyz").await, (503, failed));
}
