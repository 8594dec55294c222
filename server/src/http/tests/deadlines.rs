use super::*;

const TIMEOUT: &str = "x-request-timeout";

fn timed_out(server: &Server, count: u64) -> impl Future<Output = ()> {
    let line = format!(
        r#"vllm:request_success_total{{finished_reason="timeout",model_name="toy"}} {count}"#
    );
    async move { server.until_metric(&line).await }
}

#[tokio::test]
async fn before_the_head_it_is_a_504() {
    let (steps, model) = gated("abcdef");
    let server = Server::start(model).await;
    for stream in [false, true] {
        let request = server.request(CHAT, &chat(&json!({"stream": stream})));
        let response = request.header(TIMEOUT, "0.05").send().await.unwrap();
        let (status, body) = read(response).await;
        assert_eq!(status, 504, "{body}");
        assert_eq!(body["error"]["code"], "request_timeout");
        assert_eq!(body["error"]["type"], "server_error");
    }
    drop(steps);
    timed_out(&server, 2).await;
    let request = server.request(CHAT, &chat(&json!({})));
    let response = request.header(TIMEOUT, "86400").send().await.unwrap();
    let (status, body) = read(response).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn in_a_stream_it_is_an_error_event() {
    let (steps, model) = gated("abcdef");
    let server = Server::start(model).await;
    steps.send(()).unwrap();
    let request = server.request(CHAT, &chat(&json!({"stream": true})));
    let response = request.header(TIMEOUT, "1.5").send().await.unwrap();
    let chunks = chunks(response).await;
    let (error, before) = chunks.split_last().unwrap();
    assert_eq!(error["error"]["code"], "request_timeout");
    assert_eq!(before[1]["choices"][0]["delta"]["content"], "a");
    // The step that was under way; at the next one the engine sees it.
    steps.send(()).unwrap();
    timed_out(&server, 1).await;
    server
        .until_metric(r#"vllm:num_requests_running{model_name="toy"} 0"#)
        .await;
}

#[tokio::test]
async fn embeddings_and_completions_keep_it_too_and_what_is_no_number_is_refused() {
    let server = Server::start(embedding_model()).await;
    let body = json!({"model": "toy", "input": "a"});
    let response = server.request(EMBEDDINGS, &body).header(TIMEOUT, "0");
    assert_eq!(read(response.send().await.unwrap()).await.0, 504);
    timed_out(&server, 1).await;
    let response = server.request(EMBEDDINGS, &body).header(TIMEOUT, "soon");
    let (status, body) = read(response.send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["code"], "invalid_request_timeout");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("such as 30"), "{message}");

    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let body = json!({"model": "toy", "prompt": ["a", "b"]});
    let response = server.request(COMPLETIONS, &body).header(TIMEOUT, "0");
    assert_eq!(read(response.send().await.unwrap()).await.0, 504);
    timed_out(&server, 2).await;
}

#[tokio::test]
async fn each_answer_tells_the_load() {
    let (steps, model) = gated("abc");
    let server = Server::start(model).await;
    let stream = chat(&json!({"stream": true}));
    steps.send(()).unwrap();
    let running = server.request(CHAT, &stream).send().await.unwrap();
    // `<s>user: hi` is nine tokens.
    let load = |response: &Response| {
        let load = &response.headers()["endpoint-load-metrics"];
        load.to_str().unwrap().to_owned()
    };
    assert_eq!(
        load(&running),
        "TEXT named_metrics.queued_tokens=0, named_metrics.running=1"
    );
    let waiting = tokio::spawn(server.request(CHAT, &stream).send());
    server
        .until_metric(r#"vllm:num_requests_waiting{model_name="toy"} 1"#)
        .await;
    let refused = server.request(CHAT, &json!({})).send().await.unwrap();
    assert_eq!(
        load(&refused),
        "TEXT named_metrics.queued_tokens=9, named_metrics.running=1"
    );
    drop(steps);
    chunks(running).await;
    chunks(waiting.await.unwrap().unwrap()).await;
}
