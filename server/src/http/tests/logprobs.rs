//! How likely the tokens of an answer were.

use super::*;

/// The toy's logits: 3 for the next byte of its text and 0 for each letter.
fn likely(others: usize) -> f64 {
    let best = 3f64.exp();
    (best / (best + others as f64)).ln()
}

fn texts(tokens: &Value) -> String {
    let tokens = tokens.as_array().unwrap().iter();
    tokens.map(|it| it["token"].as_str().unwrap()).collect()
}

fn close(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-5
}

#[tokio::test]
async fn a_chat_tells_each_token_and_the_likeliest_beside_it() {
    let server = Server::start(text_model(ToyLm::new("oü"))).await;
    let hot = json!({"logprobs": true, "top_logprobs": 2, "temperature": 0.01, "top_k": 1,
        "logit_bias": {"112": 1}});
    let (status, body) = server.post(CHAT, &chat(&hot)).await;
    assert_eq!(status, 200, "{body}");
    let content = &body["choices"][0]["logprobs"]["content"];
    // The end token is no part of the text, and is not told.
    assert_eq!(content.as_array().unwrap().len(), 3, "{content}");
    assert_eq!(content[0]["token"], "o");
    assert_eq!(content[0]["bytes"], json!([111]));
    // Of the model's own distribution: neither the temperature nor the bias is in it.
    assert!(close(&content[0]["logprob"], likely(25)), "{content}");
    assert!(close(&content[1]["logprob"], likely(26)), "{content}");
    assert_eq!(content[1]["bytes"], json!([0xC3]));
    assert_eq!(content[1]["token"], "\u{FFFD}");
    let top = content[0]["top_logprobs"].as_array().unwrap();
    assert_eq!(top.len(), 2);
    assert_eq!(top[0]["token"], "o");
    assert_eq!(top[1]["token"], "a");
    assert!(close(&top[1]["logprob"], likely(25) - 3.0));
}

#[tokio::test]
async fn without_being_asked_for_no_token_is_told() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    for asked in [json!({}), json!({"logprobs": false})] {
        let (_, body) = server.post(CHAT, &chat(&asked)).await;
        assert_eq!(body["choices"][0]["logprobs"], Value::Null);
    }
    let (_, body) = server.post(CHAT, &chat(&json!({"logprobs": true}))).await;
    let content = &body["choices"][0]["logprobs"]["content"];
    assert_eq!(texts(content), "ok");
    assert_eq!(content[0]["top_logprobs"], json!([]));
}

#[tokio::test]
async fn streamed_tokens_come_with_their_text() {
    let server = Server::start(text_model(ToyLm::new("one two"))).await;
    let ask = json!({"logprobs": true, "n": 2, "stream": true, "stop": "twx"});
    let chunks = chunks(server.request(CHAT, &chat(&ask)).send().await.unwrap()).await;
    for index in 0..2 {
        let own = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let own = own.filter(|choice| choice["index"] == index);
        let mut told = String::new();
        for choice in own {
            let text = choice["delta"]["content"].as_str().unwrap_or_default();
            let tokens = &choice["logprobs"]["content"];
            let tokens = if tokens.is_null() {
                String::new()
            } else {
                texts(tokens)
            };
            assert_eq!(tokens, text, "every byte is a token");
            told.push_str(&tokens);
        }
        assert_eq!(told, "one two");
    }
}

#[tokio::test]
async fn tokens_that_a_stop_cut_off_are_not_told() {
    let server = Server::start(text_model(ToyLm::new("one two three"))).await;
    for stream in [false, true] {
        let ask = chat(&json!({"logprobs": true, "stop": " thr", "stream": stream}));
        let response = server.request(CHAT, &ask).send().await.unwrap();
        let told: String = if stream {
            let chunks = chunks(response).await;
            let content = chunks
                .iter()
                .map(|c| &c["choices"][0]["logprobs"]["content"]);
            content.filter(|it| !it.is_null()).map(texts).collect()
        } else {
            texts(&read(response).await.1["choices"][0]["logprobs"]["content"])
        };
        assert_eq!(told, "one two");
    }
}

#[tokio::test]
async fn completions_tell_them_in_their_own_form() {
    let server = Server::start(text_model(ToyLm::new("äb"))).await;
    let body = json!({"model": "toy", "prompt": ["x", "y"], "temperature": 0, "logprobs": 1});
    let (status, body) = server.post(COMPLETIONS, &body).await;
    assert_eq!(status, 200, "{body}");
    for choice in body["choices"].as_array().unwrap() {
        let told = &choice["logprobs"];
        assert_eq!(told["tokens"], json!(["\u{FFFD}", "\u{FFFD}", "b"]));
        assert_eq!(told["text_offset"], json!([0, 0, 1]));
        assert!(close(&told["token_logprobs"][2], likely(25)), "{told}");
        assert_eq!(told["top_logprobs"][2].as_object().unwrap().len(), 1);
    }
    for (path, extra) in [
        (CHAT, json!({"top_logprobs": 3})),
        (CHAT, json!({"logprobs": 3})),
        (
            COMPLETIONS,
            json!({"messages": null, "prompt": "x", "logprobs": 6}),
        ),
    ] {
        let (status, body) = server.post(path, &chat(&extra)).await;
        assert_eq!(status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_completion_tells_how_likely_its_prompt_was() {
    let server = Server::start(text_model(ToyLm::new("ab"))).await;
    let ask = json!({"model": "toy", "prompt": [120, 97, 98], "echo": true, "logprobs": 1, "max_tokens": 0});
    let (status, body) = server.post(COMPLETIONS, &ask).await;
    assert_eq!(status, 200, "{body}");
    let choice = &body["choices"][0];
    assert_eq!(
        (&choice["text"], &choice["finish_reason"]),
        (&json!("xab"), &json!("length"))
    );
    assert_eq!(body["usage"]["completion_tokens"], 0);
    let told = &choice["logprobs"];
    assert_eq!(told["tokens"], json!(["x", "a", "b"]));
    assert_eq!(told["text_offset"], json!([0, 1, 2]));
    let likely_ones = &told["token_logprobs"];
    assert_eq!(
        (&likely_ones[0], &told["top_logprobs"][0]),
        (&Value::Null, &Value::Null)
    );
    for at in [1, 2] {
        assert!(close(&likely_ones[at], likely(25)), "{told}");
        assert_eq!(told["top_logprobs"][at].as_object().unwrap().len(), 1);
    }
    // In a stream the answer goes on from it.
    let ask =
        json!({"model": "toy", "prompt": "x", "echo": true, "temperature": 0, "stream": true});
    let chunks = chunks(server.request(COMPLETIONS, &ask).send().await.unwrap()).await;
    let text = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str());
    assert_eq!(text.collect::<String>(), "xab");
    let (status, body) = server.post(CHAT, &chat(&json!({"echo": true}))).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("echo")));
}
