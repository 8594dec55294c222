use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn ask(input: &Value) -> Value {
    json!({"model": "toy", "input": input})
}

#[tokio::test]
async fn inputs_in_all_forms_become_vectors() {
    let server = Server::start(embedding_model()).await;
    for (input, vectors, tokens) in [
        (json!("ab"), json!([[2.0, 195.0, 1.0]]), 2),
        (
            json!(["a", "bb"]),
            json!([[1.0, 97.0, 1.0], [2.0, 196.0, 1.0]]),
            3,
        ),
        (json!([1, 2, 3]), json!([[3.0, 6.0, 1.0]]), 3),
        (
            json!([[1], [2, 3]]),
            json!([[1.0, 1.0, 1.0], [2.0, 5.0, 1.0]]),
            3,
        ),
    ] {
        let (status, body) = server.post(EMBEDDINGS, &ask(&input)).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["object"], "list");
        assert_eq!(body["model"], "toy");
        let data = body["data"].as_array().unwrap();
        for (index, item) in data.iter().enumerate() {
            assert_eq!(item["index"], index);
            assert_eq!(item["object"], "embedding");
        }
        let found: Vec<&Value> = data.iter().map(|item| &item["embedding"]).collect();
        assert_eq!(json!(found), vectors);
        assert_eq!(
            body["usage"],
            json!({"prompt_tokens": tokens, "total_tokens": tokens})
        );
    }
}

#[tokio::test]
async fn base64_holds_little_endian_floats() {
    let server = Server::start(embedding_model()).await;
    let mut body = ask(&json!("ab"));
    body["encoding_format"] = json!("base64");
    body["dimensions"] = json!(3);
    let (status, body) = server.post(EMBEDDINGS, &body).await;
    assert_eq!(status, 200, "{body}");
    let bytes = STANDARD
        .decode(body["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let floats = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    assert_eq!(floats.collect::<Vec<_>>(), [2.0, 195.0, 1.0]);
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name() {
    let server = Server::start(embedding_model()).await;
    let many: Vec<&str> = vec!["x"; 2049];
    let long = "x".repeat(65);
    for (extra, param, text) in [
        (json!({"input": ""}), "input", "input 0 is empty"),
        (json!({"input": []}), "input", "an empty array"),
        (json!({"input": ["a", ""]}), "input", "input 1 is empty"),
        (
            json!({"input": ["a", long]}),
            "input",
            "input 1 has 65 tokens",
        ),
        (
            json!({"input": [[5], [999]]}),
            "input",
            "input 1 has token id 999",
        ),
        (json!({"input": many}), "input", "at most 2048"),
        (json!({"input": null}), "input", "a string, an array"),
        (
            json!({"dimensions": 2}),
            "dimensions",
            "vectors of 3 dimensions",
        ),
        (
            json!({"encoding_format": "hex"}),
            "encoding_format",
            "\"base64\"",
        ),
        (json!({"truncate": true}), "truncate", "leave it out"),
    ] {
        let mut body = ask(&json!("a"));
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, body) = server.post(EMBEDDINGS, &body).await;
        assert_eq!(status, 400);
        assert_eq!(body["error"]["param"], param, "{body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    }
}

#[tokio::test]
async fn embeddings_are_measured_under_the_same_names() {
    let server = Server::start(embedding_model()).await;
    server.post(EMBEDDINGS, &ask(&json!(["abc", "d"]))).await;
    let lines = [
        r#"vllm:prompt_tokens_total{model_name="toy"} 4"#,
        r#"vllm:request_success_total{finished_reason="stop",model_name="toy"} 1"#,
        r#"vllm:e2e_request_latency_seconds_count{model_name="toy"} 1"#,
        r#"vllm:request_queue_time_seconds_count{model_name="toy"} 1"#,
        r#"vllm:num_requests_running{model_name="toy"} 0"#,
    ];
    server.assert_measured(&lines).await;
}
