//! Every route of the server, once: the router and the OpenAPI document are both made of this table.

mod inference;
mod openai;
mod operations;

use std::sync::Arc;

use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};

use super::App;
use super::openapi::answers;

/// Describes a type's JSON.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// The method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

/// Which rules requests are under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Health and the like: answered whatever the model does.
    Open,
    /// The API: by the gate, which counts requests and bounds their time.
    Gate,
}

/// What is answered at one path to one method.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// As axum writes it.
    pub(super) path: &'static str,
    pub(super) verb: Verb,
    pub(super) door: Door,
    pub(super) handler: fn() -> MethodRouter<Arc<App>>,
    /// Its name for programs that are generated from the document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) body: Option<Describe>,
    pub(super) answers: &'static [Answer],
    /// Statuses whose body is an error.
    pub(super) errors: &'static [u16],
    /// The form of errors.
    pub(super) error: Describe,
}

/// An answer with a body of its own.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) means: &'static str,
    /// Media types with what they hold.
    pub(super) content: &'static [(&'static str, Describe)],
}

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";
pub(super) const TEXT: &str = "text/plain";

/// Of everything that passes the gate and has no body.
const READ: &[u16] = &[400, 503];
const READ_BY_NAME: &[u16] = &[400, 404, 503];
/// Of everything that takes a body.
const COMPUTED: &[u16] = &[400, 404, 408, 413, 415, 429, 500, 503, 504];

/// The description of a type.
pub(super) fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn read(
    path: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
    id: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
) -> Route {
    Route {
        path,
        verb: Verb::Get,
        door: Door::Open,
        handler,
        id,
        summary,
        body: None,
        answers,
        errors: &[],
        error: of::<answers::Error>,
    }
}

/// What takes a `body` and computes with it.
const fn computed(
    path: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
    body: Describe,
    id: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
) -> Route {
    Route {
        verb: Verb::Post,
        door: Door::Gate,
        body: Some(body),
        errors: COMPUTED,
        ..read(path, handler, id, summary, answers)
    }
}

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    openai::CHAT,
    openai::COMPLETIONS,
    openai::EMBEDDINGS,
    openai::CLASSIFY,
    openai::TOKENIZE,
    openai::DETOKENIZE,
    openai::MODELS,
    openai::ONE_MODEL,
    operations::LIVE,
    operations::READY,
    operations::STARTUP,
    operations::METRICS,
    operations::OPENAPI,
    inference::SERVER,
    inference::LIVE,
    inference::READY,
    inference::MODEL,
    inference::MODEL_READY,
    inference::INFER,
    inference::VERSION,
    inference::VERSION_READY,
    inference::VERSION_INFER,
];
