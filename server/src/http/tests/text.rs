use super::*;

#[tokio::test]
async fn a_chat_answer_in_one_piece() {
    let server = Server::start(text_model(ToyLm::new("Grüße."))).await;
    let response = server
        .request(CHAT, &chat(&json!({})))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-chandler-revision"], "abc123");
    let (status, body) = read(response).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "toy");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], "Grüße.");
    assert_eq!(choice["finish_reason"], "stop");
    // `<s>user: hi` is nine tokens; six letters, two of them two bytes long, and the end token.
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18});
    assert_eq!(body["usage"], usage);
}

#[tokio::test]
async fn a_streamed_chat_answer_is_the_same_text() {
    let server = Server::start(text_model(ToyLm::new("Grüße."))).await;
    let body = chat(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let chunks = chunks(server.request(CHAT, &body).send().await.unwrap()).await;
    assert!(
        chunks
            .iter()
            .all(|c| c["object"] == "chat.completion.chunk")
    );
    assert!(chunks.iter().all(|c| c["id"] == chunks[0]["id"]));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let deltas = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    assert_eq!(deltas.collect::<String>(), "Grüße.");
    let [.., finish, usage] = chunks.as_slice() else {
        panic!("too few chunks: {chunks:?}");
    };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(finish["choices"][0]["delta"], json!({}));
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 9);
    let before = &chunks[..chunks.len() - 1];
    assert!(before.iter().all(|chunk| chunk["usage"].is_null()));
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_usage_in_a_stream() {
    let server = Server::start(text_model(ToyLm::new("ab"))).await;
    let body = chat(&json!({"stream": true}));
    let chunks = chunks(server.request(CHAT, &body).send().await.unwrap()).await;
    assert_eq!(chunks.len(), 4);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn stops_and_lengths_end_an_answer() {
    let server = Server::start(text_model(ToyLm::new("one two three"))).await;
    let (_, body) = server.post(CHAT, &chat(&json!({"stop": " thr"}))).await;
    assert_eq!(body["choices"][0]["message"]["content"], "one two");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let (_, body) = server.post(CHAT, &chat(&json!({"max_tokens": 5}))).await;
    assert_eq!(body["choices"][0]["message"]["content"], "one t");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn completions_take_prompts_in_all_forms() {
    let server = Server::start(text_model(ToyLm::new("0123456789abcdefgh"))).await;
    for (prompt, choices, tokens) in [
        (json!("hello"), 1, 6),
        (json!(["hello", "you"]), 2, 10),
        (json!([104, 105]), 1, 2),
        (json!([[104, 105], [104]]), 2, 3),
    ] {
        let body = json!({"model": "toy", "prompt": prompt, "temperature": 0});
        let (status, body) = server.post(COMPLETIONS, &body).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["object"], "text_completion");
        let answers = body["choices"].as_array().unwrap();
        assert_eq!(answers.len(), choices);
        for (index, choice) in answers.iter().enumerate() {
            assert_eq!(choice["index"], index);
            // Sixteen tokens, unless the request says otherwise.
            assert_eq!(choice["text"], "0123456789abcdef");
            assert_eq!(choice["finish_reason"], "length");
        }
        assert_eq!(body["usage"]["prompt_tokens"], tokens);
        assert_eq!(body["usage"]["completion_tokens"], 16 * choices);
    }
}

#[tokio::test]
async fn streamed_completions_tell_their_choices_apart() {
    let server = Server::start(text_model(ToyLm::new("xyz"))).await;
    let body = json!({
        "model": "toy", "prompt": ["a", "b", "c"], "temperature": 0, "stream": true,
        "stream_options": {"include_usage": true},
    });
    let mut chunks = chunks(server.request(COMPLETIONS, &body).send().await.unwrap()).await;
    let usage = chunks.pop().unwrap();
    assert_eq!(usage["usage"]["completion_tokens"], 12);
    for index in 0..3 {
        let own = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let own: Vec<&Value> = own.filter(|choice| choice["index"] == index).collect();
        let text: String = own.iter().map(|c| c["text"].as_str().unwrap()).collect();
        assert_eq!(text, "xyz");
        assert_eq!(own.last().unwrap()["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_seed_fixes_a_sampled_answer() {
    let server = Server::start(text_model(ToyLm::new(&"q".repeat(60)))).await;
    let ask = async |seed: i64| {
        let body = chat(&json!({"temperature": 1.2, "top_p": 0.95, "seed": seed}));
        let (_, body) = server.post(CHAT, &body).await;
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = ask(-7).await;
    assert_eq!(first, ask(-7).await);
    assert_ne!(first, ask(8).await);
}

#[tokio::test]
async fn a_bias_and_penalties_change_what_is_written() {
    let server = Server::start(text_model(ToyLm::new("aaaa"))).await;
    for (extra, text) in [
        (json!({"logit_bias": {"122": 10}}), "zzz"),
        (json!({"frequency_penalty": 2}), "aab"),
        (json!({"temperature": 2, "top_k": 1, "seed": 1}), "aaa"),
        (json!({"temperature": 2, "min_p": 1, "seed": 1}), "aaa"),
        (
            json!({"repetition_penalty": 100, "presence_penalty": 1}),
            "abc",
        ),
    ] {
        let mut body = chat(&extra);
        body["max_tokens"] = json!(3);
        let (status, body) = server.post(CHAT, &body).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["choices"][0]["message"]["content"], text, "{extra}");
    }
    let beyond = chat(&json!({"logit_bias": {"258": 1}}));
    let (status, body) = server.post(CHAT, &beyond).await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (400, &json!("logit_bias"))
    );
}

#[tokio::test]
async fn several_answers_differ_and_read_their_prompt_once() {
    let server = Server::start(text_model(ToyLm::new(&"q".repeat(60)))).await;
    let ask = async |n: u32| {
        let body = chat(&json!({"temperature": 1.2, "seed": 7, "max_tokens": 20, "n": n}));
        let (status, body) = server.post(CHAT, &body).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let (one, three) = (ask(1).await, ask(3).await);
    let choices = three["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    assert_eq!(choices[0], one["choices"][0]);
    assert_ne!(choices[0]["message"], choices[1]["message"]);
    assert_ne!(choices[1]["message"], choices[2]["message"]);
    assert_eq!(choices[2]["index"], 2);
    assert_eq!(three["usage"]["prompt_tokens"], 9);
    assert_eq!(three["usage"]["completion_tokens"], 60);
    let body = json!({"model": "toy", "prompt": ["hello", "you"], "n": 2, "max_tokens": 1});
    let (_, body) = server.post(COMPLETIONS, &body).await;
    assert_eq!(body["choices"].as_array().unwrap().len(), 4);
    assert_eq!(body["usage"]["prompt_tokens"], 10);
}

#[tokio::test]
async fn several_streamed_answers_each_open_and_end() {
    let server = Server::start(text_model(ToyLm::new("xyz"))).await;
    let body = chat(&json!({"n": 2, "stream": true}));
    let chunks = chunks(server.request(CHAT, &body).send().await.unwrap()).await;
    for index in 0..2 {
        let own = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let own: Vec<&Value> = own.filter(|choice| choice["index"] == index).collect();
        assert_eq!(own[0]["delta"]["role"], "assistant");
        let text = own.iter().filter_map(|c| c["delta"]["content"].as_str());
        assert_eq!(text.collect::<String>(), "xyz");
        assert_eq!(own.last().unwrap()["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn more_answers_than_may_wait_are_refused() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let two = json!({"model": "toy", "prompt": ["a", "b"], "n": 3});
    for (path, body) in [(CHAT, &chat(&json!({"n": 5}))), (COMPLETIONS, &two)] {
        let (status, body) = server.post(path, body).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!("n")));
    }
}

#[tokio::test]
async fn a_client_that_goes_frees_the_engine() {
    let (steps, model) = gated("abcdef");
    let server = Server::start(model).await;
    let body = chat(&json!({"stream": true}));
    steps.send(()).unwrap();
    let mut response = server.request(CHAT, &body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    server
        .until_metric(r#"vllm:num_requests_running{model_name="toy"} 1"#)
        .await;
    drop(response);
    // Steps until the engine sees it; were it never seen, the answer's end would count as a stop.
    while server.app.lifecycle.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    steps.send(()).unwrap();
    let aborted = r#"vllm:request_success_total{finished_reason="abort",model_name="toy"} 1"#;
    server.until_metric(aborted).await;
    server
        .until_metric(r#"vllm:num_requests_running{model_name="toy"} 0"#)
        .await;
}

#[tokio::test]
async fn failures_of_the_engine_are_errors_of_the_server() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    for (content, code) in [("#", "model_failed"), ("!", "engine_panicked")] {
        for stream in [false, true] {
            let messages = json!([{"role": "user", "content": content}]);
            let body = chat(&json!({"messages": messages, "stream": stream}));
            let (status, body) = server.post(CHAT, &body).await;
            assert_eq!(status, 500);
            assert_eq!(body["error"]["type"], "server_error");
            assert_eq!(body["error"]["code"], code);
        }
    }
    let (status, _) = server.post(CHAT, &chat(&json!({}))).await;
    assert_eq!(status, 200);
    assert_eq!(server.get("/livez").await, (200, json!({"alive": true})));
}

#[tokio::test]
async fn metrics_follow_the_requests() {
    let server = Server::start(text_model(ToyLm::new("abc"))).await;
    server.post(CHAT, &chat(&json!({}))).await;
    let lines = [
        r#"vllm:prompt_tokens_total{model_name="toy"} 9"#,
        r#"vllm:generation_tokens_total{model_name="toy"} 4"#,
        r#"vllm:request_success_total{finished_reason="stop",model_name="toy"} 1"#,
        r#"vllm:time_to_first_token_seconds_count{model_name="toy"} 1"#,
        r#"vllm:inter_token_latency_seconds_count{model_name="toy"} 3"#,
        r#"vllm:e2e_request_latency_seconds_count{model_name="toy"} 1"#,
        r#"vllm:request_queue_time_seconds_count{model_name="toy"} 1"#,
        r#"vllm:num_requests_running{model_name="toy"} 0"#,
    ];
    server.assert_measured(&lines).await;
}

#[tokio::test]
async fn a_request_at_work_is_no_rest_and_its_end_begins_it() {
    const NO_REST: &str = r#"chandler:idle_seconds{model_name="toy"} 0"#;
    let (steps, model) = gated("ab");
    let server = Server::start(model).await;
    assert!(
        idle(&server).await > 0.0,
        "it is ready, and nobody has come"
    );
    let body = chat(&json!({"stream": true}));
    steps.send(()).unwrap();
    let mut response = server.request(CHAT, &body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let waiting = tokio::spawn(server.request(CHAT, &body).send());
    let one_waits = r#"vllm:num_requests_waiting{model_name="toy"} 1"#;
    server.until_metric(one_waits).await;
    server.assert_measured(&[NO_REST]).await;
    // Both are answered to their ends.
    drop(steps);
    assert!(response.text().await.unwrap().ends_with("[DONE]\n\n"));
    let waited = waiting.await.unwrap().unwrap();
    assert!(waited.text().await.unwrap().ends_with("[DONE]\n\n"));
    while idle(&server).await == 0.0 {
        tokio::task::yield_now().await;
    }
}

/// Seconds without a request, as the metrics tell them.
async fn idle(server: &Server) -> f64 {
    let metrics = server.metrics().await;
    let name = r#"chandler:idle_seconds{model_name="toy"} "#;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)).unwrap();
    value.parse().unwrap()
}
