//! The bounds that depend on the model and on how it is served.

use serde_json::{Map, Value, json};

use super::super::App;
use super::super::inference::Outputs;
use crate::tasks::Served;

/// Tells in the `schemas` of requests what this server takes.
pub(super) fn narrow(schemas: &mut Map<String, Value>, app: &App) {
    for request in [
        "ChatRequest",
        "CompletionRequest",
        "EmbeddingRequest",
        "ClassificationRequest",
        "TokenizeRequest",
        "DetokenizeRequest",
    ] {
        put(schemas, request, "model", "enum", json!([app.name]));
    }
    match app.served.get() {
        Some(Served::Text(task)) => {
            let most = json!(task.engine().queue_capacity());
            for request in ["ChatRequest", "CompletionRequest"] {
                put(schemas, request, "n", "maximum", most.clone());
            }
            if let Some(inputs) = schemas.get_mut("Inputs") {
                bound_tokens(inputs, task.vocab_size().saturating_sub(1));
            }
        }
        Some(Served::Embedding(task)) => {
            let own = json!([task.dimensions(), null]);
            put(schemas, "EmbeddingRequest", "dimensions", "enum", own);
        }
        Some(Served::Classification(_)) | None => {}
    }
    if let (Some(served), Some(ids)) = (app.served.get(), schemas.get_mut("Ids")) {
        bound_tokens(ids, served.codec().vocab_size().saturating_sub(1));
    }
    if let Some(outputs) = app.served.get().and_then(Outputs::of) {
        put(schemas, "Wanted", "name", "enum", json!(outputs.names()));
    }
}

/// Sets a keyword of one property.
fn put(
    schemas: &mut Map<String, Value>,
    schema: &str,
    property: &str,
    keyword: &str,
    value: Value,
) {
    let property = schemas
        .get_mut(schema)
        .and_then(|schema| schema.get_mut("properties")?.get_mut(property));
    if let Some(Value::Object(property)) = property {
        property.insert(keyword.to_owned(), value);
    }
}

/// Token ids, wherever they are in `schema`, go up to `last`.
fn bound_tokens(schema: &mut Value, last: usize) {
    match schema {
        Value::Object(map) => {
            if map.get("type").is_some_and(|kind| kind == "integer") {
                map.insert("maximum".to_owned(), json!(last));
            }
            map.values_mut().for_each(|value| bound_tokens(value, last));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| bound_tokens(item, last)),
        _ => {}
    }
}
