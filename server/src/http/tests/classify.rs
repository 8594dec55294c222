//! Labels of texts.

use super::*;

fn ask(input: &Value) -> Value {
    json!({"model": "toy", "input": input})
}

#[tokio::test]
async fn inputs_in_all_forms_get_labels() {
    let server = Server::start(classifier()).await;
    let item = |index: usize, label: &str, probs: [f64; 3]| json!({"index": index, "label": label, "probs": probs, "num_classes": 3});
    let (a, bb) = ([1.0, 97.0, 1.0], [2.0, 196.0, 1.0]);
    for (input, items, tokens) in [
        (json!("a"), vec![item(0, "sum", a)], 1),
        (
            json!(["a", "bb"]),
            vec![item(0, "sum", a), item(1, "sum", bb)],
            3,
        ),
        // Of equal numbers the first counts.
        (json!([0]), vec![item(0, "tokens", [1.0, 0.0, 1.0])], 1),
        (
            json!([[0, 0], [2, 3]]),
            vec![
                item(0, "tokens", [2.0, 0.0, 1.0]),
                item(1, "sum", [2.0, 5.0, 1.0]),
            ],
            4,
        ),
    ] {
        let (status, body) = server.post(CLASSIFY, &ask(&input)).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["data"], json!(items));
        assert_eq!(
            (&body["object"], &body["model"]),
            (&json!("list"), &json!("toy"))
        );
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        assert_eq!(body["usage"], usage);
        assert!(body["id"].as_str().unwrap().starts_with("classify-"));
        assert!(body["created"].as_u64() >= Some(server.app.created));
    }
    let lines = [
        r#"vllm:prompt_tokens_total{model_name="toy"} 9"#,
        r#"vllm:request_success_total{finished_reason="stop",model_name="toy"} 4"#,
    ];
    server.assert_measured(&lines).await;
}

#[tokio::test]
async fn what_cannot_be_classified_is_refused_by_name() {
    let server = Server::start(classifier()).await;
    for (extra, param, text) in [
        (json!({"input": ""}), "input", "input 0 is empty"),
        (json!({"input": null}), "input", "a string, an array"),
        (
            json!({"input": ["a", 1]}),
            "input[1]",
            "not like the others",
        ),
        (json!({"input": vec!["x"; 2049]}), "input", "at most 2048"),
        (json!({"input": "x".repeat(65)}), "input", "at most 64"),
        (json!({"input": [999]}), "input", "token id 999"),
        (
            json!({"dimensions": 3}),
            "dimensions",
            "write one of input, model, user",
        ),
        (json!({"model": "other"}), "model", "`toy`"),
    ] {
        let mut body = ask(&json!("a"));
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, body) = server.post(CLASSIFY, &body).await;
        let wanted = if param == "model" { 404 } else { 400 };
        assert_eq!(status, wanted, "{body}");
        assert_eq!(body["error"]["param"], param, "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    }
    let (status, body) = server.post(CLASSIFY, &ask(&json!("#"))).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (500, &json!("server_error"))
    );
}

#[tokio::test]
async fn a_classifier_tells_its_labels_and_where_it_is_asked() {
    let server = Server::start(classifier()).await;
    let (_, card) = server.get("/v1/models/toy").await;
    assert_eq!(card["task"], "classification");
    assert_eq!(card["endpoints"], json!([CLASSIFY]));
    assert_eq!(card["labels"], json!(["tokens", "sum", "one"]));
    assert_eq!(card["max_model_len"], 64);
    assert_eq!(card["dimensions"], Value::Null);
    assert_eq!(
        card["fingerprints"]["tokenizer"].as_str().map(str::len),
        Some(16)
    );
    let (text, embedding) = (text_model(ToyLm::new("ok")), embedding_model());
    let (text, embedding) = (Server::start(text).await, Server::start(embedding).await);
    let input = json!({"model": "toy", "input": "x"});
    for (server, path, body, instead) in [
        (&server, CHAT, chat(&json!({})), CLASSIFY),
        (&server, EMBEDDINGS, input.clone(), CLASSIFY),
        (&embedding, CLASSIFY, input.clone(), EMBEDDINGS),
        (&text, CLASSIFY, input, CHAT),
    ] {
        let (status, body) = server.post(path, &body).await;
        let error = &body["error"];
        assert_eq!((status, &error["code"]), (400, &json!("wrong_endpoint")));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(instead), "{message}");
    }
}
