//! The Open Inference Protocol.

use reqwest::header::CONTENT_TYPE;

use super::*;

const MODEL: &str = "/v2/models/toy";
const INFER: &str = "/v2/models/toy/infer";

fn texts(texts: &[&str]) -> Value {
    let tensor =
        json!({"name": "text", "datatype": "BYTES", "shape": [texts.len()], "data": texts});
    json!({"inputs": [tensor]})
}

/// The message of an error that has no other field.
fn error(body: &Value) -> &str {
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(1),
        "{body}"
    );
    body["error"].as_str().unwrap()
}

#[tokio::test]
async fn texts_in_a_tensor_become_vectors_in_one() {
    let server = Server::start(embedding_model()).await;
    let mut request = texts(&["a", "bb"]);
    request["id"] = json!("42");
    request["outputs"] = json!([{"name": "embedding"}]);
    let wanted = json!({
        "model_name": "toy",
        "model_version": "1",
        "id": "42",
        "outputs": [{
            "name": "embedding",
            "datatype": "FP32",
            "shape": [2, 3],
            "data": [1.0, 97.0, 1.0, 2.0, 196.0, 1.0],
        }],
    });
    for path in [INFER, "/v2/models/toy/versions/1/infer"] {
        assert_eq!(server.post(path, &request).await, (200, wanted.clone()));
    }
    let (_, answer) = server.post(INFER, &texts(&["a"])).await;
    assert_eq!(answer.get("id"), None);
    let lines = [r#"vllm:prompt_tokens_total{model_name="toy"} 7"#];
    server.assert_measured(&lines).await;
}

#[tokio::test]
async fn labels_come_with_their_probabilities_or_as_they_are_asked_for() {
    let server = Server::start(classifier()).await;
    let probabilities = json!({
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 3],
        "data": [1.0, 97.0, 1.0, 2.0, 196.0, 1.0],
    });
    let label = json!({"name": "label", "datatype": "BYTES", "shape": [2], "data": ["sum", "sum"]});
    let name = |name: &str| json!({"name": name});
    for (asked, outputs) in [
        (json!(null), json!([probabilities, label])),
        (json!([]), json!([probabilities, label])),
        (json!([name("label")]), json!([label])),
        (
            json!([name("label"), name("probabilities"), name("label")]),
            json!([label, probabilities]),
        ),
    ] {
        let mut request = texts(&["a", "bb"]);
        request["outputs"] = asked;
        let (status, answer) = server.post(INFER, &request).await;
        assert_eq!((status, &answer["outputs"]), (200, &outputs));
    }
    let mut request = texts(&["a"]);
    request["outputs"] = json!([name("embedding")]);
    let (status, answer) = server.post(INFER, &request).await;
    assert_eq!(status, 400);
    let told = error(&answer);
    assert!(told.contains(r#""probabilities" or "label""#), "{told}");
    let (_, model) = server.get(MODEL).await;
    let outputs = json!([
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]);
    assert_eq!(model["outputs"], outputs);
    let input = json!([{"name": "text", "datatype": "BYTES", "shape": [-1]}]);
    assert_eq!(model["inputs"], input);
}

#[tokio::test]
async fn the_server_and_its_model_tell_what_they_are() {
    let server = Server::start(embedding_model()).await;
    let (status, body) = server.get("/v2").await;
    assert_eq!((status, &body["name"]), (200, &json!("chandler-server")));
    assert_eq!(body["extensions"], json!([]));
    let (_, body) = server.get("/v2/health/live").await;
    assert_eq!(body, json!({"live": true}));
    let (_, body) = server.get("/v2/health/ready").await;
    assert_eq!(body, json!({"ready": true}));
    let input = json!({"name": "text", "datatype": "BYTES", "shape": [-1]});
    let output = json!({"name": "embedding", "datatype": "FP32", "shape": [-1, 3]});
    let model = json!({
        "name": "toy", "versions": ["1"], "platform": "candle", "inputs": [input], "outputs": [output],
    });
    for path in [MODEL, "/v2/models/toy/versions/1"] {
        assert_eq!(server.get(path).await, (200, model.clone()));
        let ready = server.get(&format!("{path}/ready")).await;
        assert_eq!(ready, (200, json!({"name": "toy", "ready": true})));
    }
}

#[tokio::test]
async fn errors_are_told_in_the_protocols_own_form() {
    let server = Server::start(embedding_model()).await;
    let text = texts(&["a"]);
    for (wanted, part, (status, body)) in [
        (
            404,
            "`other` is not served",
            server.get("/v2/models/other").await,
        ),
        (
            404,
            "`other` is not served",
            server.get("/v2/models/other/ready").await,
        ),
        (
            404,
            "no version `2`",
            server.get("/v2/models/toy/versions/2").await,
        ),
        (
            404,
            "no version `2`",
            server.post("/v2/models/toy/versions/2/infer", &text).await,
        ),
        (
            404,
            "`a/b` is not served",
            server.post("/v2/models/a%2Fb/infer", &text).await,
        ),
        (
            404,
            "nothing at `/v2/repository`",
            server.get("/v2/repository").await,
        ),
        (405, "does not take GET", server.get(INFER).await),
        (
            400,
            "`inputs` must be an array",
            server.post(INFER, &json!({})).await,
        ),
        (
            400,
            "input 0 is empty",
            server.post(INFER, &texts(&[""])).await,
        ),
        (
            400,
            "write one of id, inputs",
            server
                .post(INFER, &json!({"inputs": text["inputs"], "x": 1}))
                .await,
        ),
    ] {
        assert_eq!(status, wanted, "{body}");
        assert!(error(&body).contains(part), "{body}");
    }
    let url = format!("{}{INFER}", server.base);
    let bytes = server.client.post(url).body(text.to_string());
    let bytes = bytes.header(CONTENT_TYPE, "application/octet-stream");
    let response = bytes.send().await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let (status, body) = read(response).await;
    assert_eq!(status, 415);
    assert!(error(&body).contains("application/json"), "{body}");
}

#[tokio::test]
async fn a_model_that_writes_text_has_no_tensors() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let (status, body) = server.get(MODEL).await;
    assert_eq!((status, &body["inputs"]), (200, &json!([])));
    let (status, body) = server.post(INFER, &texts(&["a"])).await;
    assert_eq!(status, 400);
    assert!(error(&body).contains(CHAT), "{body}");
}

#[tokio::test]
async fn a_model_that_loads_is_not_ready() {
    let server = Server::start_empty(Duration::from_secs(1)).await;
    let (status, body) = server.get("/v2/health/ready").await;
    assert_eq!((status, body), (503, json!({"ready": false})));
    let (status, body) = server.get("/v2/models/toy/ready").await;
    assert_eq!(
        (status, body),
        (503, json!({"name": "toy", "ready": false}))
    );
    let response = server.request(INFER, &texts(&["a"])).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    let (status, body) = read(response).await;
    assert_eq!(status, 503);
    assert!(error(&body).contains("not ready yet"), "{body}");
}
