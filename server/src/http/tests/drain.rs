use super::*;

/// A server whose one request runs, with its first text sent.
async fn busy(grace: Duration) -> (Sender<()>, Server, Response) {
    let (steps, model) = gated("abc");
    let server = Server::start_with(model, Task::Auto, 4, grace).await;
    steps.send(()).unwrap();
    let body = chat(&json!({"stream": true}));
    let response = server.request(CHAT, &body).send().await.unwrap();
    (steps, server, response)
}

async fn until_draining(server: &Server) {
    let draining = json!({"ready": false, "reason": "Draining"});
    while server.get("/readyz").await != (503, draining.clone()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_in_flight_finish_and_new_ones_are_sent_elsewhere() {
    let (steps, server, response) = busy(Duration::from_secs(600)).await;
    server.stop.send(Stop::Terminate).await.unwrap();
    until_draining(&server).await;
    let (status, body) = server.post(CHAT, &chat(&json!({}))).await;
    assert_eq!(status, 503);
    assert_eq!(body["error"]["code"], "server_shutting_down");
    assert_eq!(server.get("/livez").await.0, 200);
    // Another kind of signal, or the parent's end, asks for the same thing.
    server.stop.send(Stop::Interrupt).await.unwrap();
    server.stop.send(Stop::ParentGone).await.unwrap();
    drop(steps);
    let chunks = chunks(response).await;
    let deltas = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    assert_eq!(deltas.collect::<String>(), "abc");
    server.task.await.unwrap();
    assert!(server.client.get(server.base).send().await.is_err());
}

async fn assert_ended(response: Response) {
    let chunks = chunks(response).await;
    let error = &chunks.last().unwrap()["error"];
    assert_eq!(error["type"], "server_error");
    assert_eq!(error["code"], "server_shutting_down");
}

#[tokio::test]
async fn the_deadline_ends_streams_well_formed() {
    let (_steps, server, response) = busy(Duration::ZERO).await;
    server.stop.send(Stop::Terminate).await.unwrap();
    assert_ended(response).await;
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_same_signal_again_ends_everything_at_once() {
    let (_steps, server, response) = busy(Duration::from_secs(600)).await;
    let whole = tokio::spawn(server.request(CHAT, &chat(&json!({}))).send());
    server
        .until_metric(r#"vllm:num_requests_waiting{model_name="toy"} 1"#)
        .await;
    server.stop.send(Stop::Terminate).await.unwrap();
    server.stop.send(Stop::Terminate).await.unwrap();
    assert_ended(response).await;
    let (status, body) = read(whole.await.unwrap().unwrap()).await;
    assert_eq!(status, 503);
    assert_eq!(body["error"]["code"], "server_shutting_down");
    server.task.await.unwrap();
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    server.post(CHAT, &chat(&json!({}))).await;
    server.stop.send(Stop::ParentGone).await.unwrap();
    server.task.await.unwrap();
}
