//! The API as an OpenAPI document, made when it is asked for of the same table as the router.

pub(super) mod answers;
mod bounds;
mod forms;
mod parameters;
pub(super) mod requests;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::App;
use super::routes::{Answer, Door, JSON, ROUTES, Route, Verb};

/// Where the schemas of a document stand.
const SCHEMAS: &str = "/components/schemas";

pub(super) async fn serve(State(app): State<Arc<App>>) -> Json<Value> {
    Json(document(&app))
}

/// Server-sent events. OpenAPI 3.1 can't describe them within the whole text: as in 3.2, one event is described.
pub(super) fn events<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let chunks = [
        generator.subschema_for::<T>(),
        generator.subschema_for::<answers::Error>(),
    ];
    json_schema!({
        "type": "object",
        "description": "One event.",
        "required": ["data"],
        "properties": {
            "event": {"enum": ["message", "error"]},
            "data": {"anyOf": [
                {"const": "[DONE]", "description": "The last one's."},
                {
                    "type": "string",
                    "contentMediaType": JSON,
                    "contentSchema": {"anyOf": chunks},
                },
            ]},
        },
    })
}

/// An object that a document of its own describes.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}

/// What requests hold is described otherwise than what answers hold: a field that may be absent in the one is
/// always there in the other.
struct Types {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Types {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Self {
            requests: settings.clone().for_deserialize().into_generator(),
            answers: settings.for_serialize().into_generator(),
        }
    }

    fn schemas(mut self) -> Map<String, Value> {
        let mut schemas = self.requests.take_definitions(true);
        schemas.extend(self.answers.take_definitions(true));
        schemas
    }
}

/// The document of a server: once its model is loaded, with that model's bounds.
pub(super) fn document(app: &App) -> Value {
    let mut types = Types::new();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(plain(route.path)).or_insert_with(|| json!({}));
        let verb = match route.verb {
            Verb::Get => "get",
            Verb::Post => "post",
        };
        path[verb] = operation(route, &app.name, &mut types);
    }
    let mut schemas = types.schemas();
    bounds::narrow(&mut schemas, app);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chandler's inference server",
            "description": "One model behind OpenAI's API. What a request may not ask is refused, with the \
                parameter's name and what to write instead.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// A route's path as OpenAPI writes it.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

fn operation(route: &Route, model: &str, types: &mut Types) -> Value {
    let mut parameters = parameters::of_path(route.path, model);
    if route.door == Door::Gate {
        parameters.extend(parameters::of_headers());
    }
    let mut responses = Map::new();
    for answer in route.answers {
        responses.insert(answer.status.to_string(), response(answer, types));
    }
    for &status in route.errors {
        let schema = (route.error)(&mut types.answers);
        responses.insert(status.to_string(), error(status, &schema));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {JSON: {"schema": body(&mut types.requests)}},
        });
    }
    operation
}

fn response(answer: &Answer, types: &mut Types) -> Value {
    let content = answer.content.iter().map(|(media_type, describe)| {
        let schema = json!({"schema": describe(&mut types.answers)});
        ((*media_type).to_owned(), schema)
    });
    let content: Map<String, Value> = content.collect();
    json!({"description": answer.means, "content": content})
}

fn error(status: u16, schema: &Schema) -> Value {
    let mut error = json!({
        "description": meaning(status),
        "content": {JSON: {"schema": schema}},
    });
    if matches!(status, 429 | 503) {
        error["headers"] = parameters::retry_after();
    }
    error
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request can't be taken as it is; the message names what to write instead.",
        404 => "The model is not served here.",
        408 => "The body did not arrive in time.",
        413 => "The body is too long.",
        415 => "The body is said to be no JSON.",
        429 => "The queue is full.",
        503 => "The model is not loaded yet, or the process is about to end.",
        504 => "The time that the request was given is up.",
        _ => "The server failed.",
    }
}
