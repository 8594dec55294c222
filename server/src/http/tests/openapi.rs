//! The document, beside what the server does.

use std::collections::BTreeSet;

use super::*;

async fn document(server: &Server) -> Value {
    let (status, document) = server.get("/openapi.json").await;
    assert_eq!(status, 200);
    document
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let map = object.as_object().expect("an object");
    map.keys().map(String::as_str).collect()
}

/// A body that is answered.
fn example(path: &str) -> Value {
    match path {
        // Without it there may be no `top_logprobs`.
        CHAT => chat(&json!({"logprobs": true})),
        COMPLETIONS | TOKENIZE => json!({"model": "toy", "prompt": "x"}),
        DETOKENIZE => json!({"model": "toy", "tokens": [97]}),
        _ => json!({"model": "toy", "input": "x"}),
    }
}

/// The schema of the body that `path` takes.
fn body<'a>(document: &'a Value, path: &str) -> &'a Value {
    let content = &document["paths"][path]["post"]["requestBody"]["content"];
    let reference = content["application/json"]["schema"]["$ref"].as_str();
    let pointer = reference.unwrap().strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap()
}

#[tokio::test]
async fn each_route_is_described_and_each_description_is_a_route() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let document = document(&server).await;
    let paths = keys(&document["paths"]);
    assert_eq!(paths.len(), keys_of_routes().len());
    for path in paths {
        let filled = path.replace("{name}", "toy").replace("{version}", "1");
        let url = format!("{}{filled}", server.base);
        for (verb, request) in [
            ("get", server.client.get(&url)),
            ("post", server.client.post(&url).json(&json!({}))),
        ] {
            let status = request.send().await.unwrap().status().as_u16();
            let described = document["paths"][path].get(verb);
            assert_eq!(described.is_none(), status == 405, "{verb} {path}");
            assert_ne!(status, 404, "{verb} {path}");
            let answers = described.map(|operation| keys(&operation["responses"]));
            let known = answers.is_none_or(|answers| answers.contains(status.to_string().as_str()));
            assert!(known, "{verb} {path}: {status}");
        }
    }
}

fn keys_of_routes() -> BTreeSet<&'static str> {
    ROUTES.iter().map(|route| route.path).collect()
}

#[tokio::test]
async fn the_parameters_that_are_read_are_those_that_are_described() {
    let text = Server::start(text_model(ToyLm::new("ok"))).await;
    let embedding = Server::start(embedding_model()).await;
    let classifier = Server::start(classifier()).await;
    for (server, path) in [
        (&text, CHAT),
        (&text, COMPLETIONS),
        (&embedding, EMBEDDINGS),
        (&classifier, CLASSIFY),
        (&text, TOKENIZE),
        (&text, DETOKENIZE),
    ] {
        let document = document(server).await;
        let described = keys(&body(&document, path)["properties"]);
        let mut request = example(path);
        request["no such parameter"] = json!(1);
        let (_, answer) = server.post(path, &request).await;
        let message = answer["error"]["message"].as_str().unwrap();
        let (_, list) = message.split_once("write one of ").expect("a list");
        let read: BTreeSet<&str> = list.split(", ").collect();
        assert_eq!(described, read, "{path}");
        let required = body(&document, path)["required"].as_array().unwrap();
        for name in required.iter().map(|name| name.as_str().unwrap()) {
            let mut request = example(path);
            request.as_object_mut().unwrap().remove(name);
            let (status, answer) = server.post(path, &request).await;
            assert_eq!((status, &answer["error"]["param"]), (400, &json!(name)));
        }
    }
}

/// The values at a property's bounds, and those just outside.
fn around(property: &Value) -> (Vec<Value>, Vec<Value>) {
    let kinds = &property["type"];
    let is_whole = |kind: &Value| kind == "integer";
    let whole = is_whole(kinds) || kinds.as_array().is_some_and(|k| k.iter().any(is_whole));
    let number = |value: f64| match whole {
        true => json!(value as i64),
        false => json!(value),
    };
    if let Some(values) = property["enum"].as_array() {
        return (values.clone(), vec![json!("something else")]);
    }
    let (mut within, mut outside) = (Vec::new(), Vec::new());
    let step = if whole { 1.0 } else { 0.005 };
    if let Some(least) = property["minimum"].as_f64() {
        within.push(number(least));
        outside.push(number(least - step));
    }
    if let Some(most) = property["maximum"].as_f64() {
        within.push(number(most));
        outside.push(number(most + step));
    }
    if let Some(below) = property["exclusiveMinimum"].as_f64() {
        within.push(number(below + step));
        outside.push(number(below));
    }
    (within, outside)
}

#[tokio::test]
async fn bounds_that_are_described_are_those_that_are_kept() {
    let text = Server::start(text_model(ToyLm::new("ok"))).await;
    let embedding = Server::start(embedding_model()).await;
    let classifier = Server::start(classifier()).await;
    let mut bounded = 0;
    for (server, path) in [
        (&text, CHAT),
        (&text, COMPLETIONS),
        (&embedding, EMBEDDINGS),
        (&classifier, CLASSIFY),
        (&text, TOKENIZE),
        (&text, DETOKENIZE),
    ] {
        let document = document(server).await;
        let properties = body(&document, path)["properties"].as_object().unwrap();
        for (name, property) in properties.iter().filter(|(name, _)| *name != "model") {
            let (within, outside) = around(property);
            bounded += within.len();
            for (values, status) in [(within, 200), (outside, 400)] {
                for value in values {
                    let mut request = example(path);
                    request[name] = value.clone();
                    let (found, answer) = server.post(path, &request).await;
                    assert_eq!(found, status, "{path} {name} = {value}: {answer}");
                }
            }
        }
    }
    assert!(bounded > 40, "{bounded}");
}

#[tokio::test]
async fn the_models_own_bounds_are_told_once_it_is_loaded() {
    let server = Server::start_empty(Duration::from_secs(1)).await;
    let empty = document(&server).await;
    let schemas = &empty["components"]["schemas"];
    assert_eq!(
        schemas["ChatRequest"]["properties"]["model"]["enum"],
        json!(["toy"])
    );
    assert_eq!(
        schemas["ChatRequest"]["properties"]["n"]["maximum"],
        Value::Null
    );
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let text = document(&server).await;
    let schemas = &text["components"]["schemas"];
    assert_eq!(schemas["ChatRequest"]["properties"]["n"]["maximum"], 4);
    let ids = &schemas["Inputs"]["anyOf"][2]["items"];
    assert_eq!(ids["maximum"], VOCAB - 1);
    let server = Server::start(embedding_model()).await;
    let embedding = document(&server).await;
    let schemas = &embedding["components"]["schemas"];
    let dimensions = &schemas["EmbeddingRequest"]["properties"]["dimensions"];
    assert_eq!(dimensions["enum"], json!([3, null]));
    let server = Server::start(classifier()).await;
    let labels = document(&server).await;
    for (document, outputs) in [
        (&empty, json!(["embedding", "probabilities", "label"])),
        (&embedding, json!(["embedding"])),
        (&labels, json!(["probabilities", "label"])),
    ] {
        let wanted = &document["components"]["schemas"]["Wanted"];
        assert_eq!(wanted["properties"]["name"]["enum"], outputs);
    }
}

#[tokio::test]
async fn no_reference_leads_nowhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    let found = document.pointer(reference.strip_prefix('#').unwrap());
                    assert!(found.is_some(), "{reference}");
                }
                map.values().for_each(|value| check(document, value));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let server = Server::start(embedding_model()).await;
    let document = document(&server).await;
    assert_eq!(document["openapi"], "3.1.0");
    check(&document, &document);
}
