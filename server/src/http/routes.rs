//! Every route of the server, once: the router and the OpenAPI document are both made of this table.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};
use chandler_crds::names::{api, inference as v2, paths};
use schemars::{Schema, SchemaGenerator};

use super::openapi::{answers, requests};
use super::{App, health, inference, models, openai, openapi};
use crate::lifecycle::Progress;

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
/// Of everything that the engine computes.
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

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODELS,
    ONE_MODEL,
    LIVE,
    READY,
    STARTUP,
    METRICS,
    OPENAPI,
    V2_SERVER,
    V2_LIVE,
    V2_READY,
    V2_MODEL,
    V2_MODEL_READY,
    V2_INFER,
    V2_VERSION,
    V2_VERSION_READY,
    V2_VERSION_INFER,
];

const CHAT: Route = Route {
    verb: Verb::Post,
    door: Door::Gate,
    body: Some(of::<requests::ChatRequest>),
    errors: COMPUTED,
    ..read(
        api::CHAT,
        || post(openai::chat),
        "chat",
        "Answers in a conversation",
        &[Answer {
            status: 200,
            means: "The answers, or with `stream` server-sent events with parts of them.",
            content: &[
                (JSON, of::<answers::ChatAnswer>),
                (EVENTS, openapi::events::<answers::ChatChunk>),
            ],
        }],
    )
};

const COMPLETIONS: Route = Route {
    verb: Verb::Post,
    door: Door::Gate,
    body: Some(of::<requests::CompletionRequest>),
    errors: COMPUTED,
    ..read(
        api::COMPLETIONS,
        || post(openai::completions),
        "complete",
        "Goes on from prompts",
        &[Answer {
            status: 200,
            means: "The texts, or with `stream` server-sent events with parts of them.",
            content: &[
                (JSON, of::<answers::CompletionAnswer>),
                (EVENTS, openapi::events::<answers::CompletionChunk>),
            ],
        }],
    )
};

const EMBEDDINGS: Route = Route {
    verb: Verb::Post,
    door: Door::Gate,
    body: Some(of::<requests::EmbeddingRequest>),
    errors: COMPUTED,
    ..read(
        api::EMBEDDINGS,
        || post(openai::embeddings),
        "embed",
        "Turns texts into vectors",
        &[Answer {
            status: 200,
            means: "A vector for each text.",
            content: &[(JSON, of::<openai::EmbeddingAnswer>)],
        }],
    )
};

const MODELS: Route = Route {
    door: Door::Gate,
    errors: READ,
    ..read(
        api::MODELS,
        || get(models::list),
        "listModels",
        "Lists the one model that is served",
        &[Answer {
            status: 200,
            means: "The model.",
            content: &[(JSON, of::<models::List>)],
        }],
    )
};

const ONE_MODEL: Route = Route {
    door: Door::Gate,
    errors: READ_BY_NAME,
    ..read(
        api::ONE_MODEL,
        || get(models::one),
        "getModel",
        "Tells what a model is",
        &[Answer {
            status: 200,
            means: "The model.",
            content: &[(JSON, of::<models::Card>)],
        }],
    )
};

const LIVE: Route = read(
    paths::LIVE,
    || get(health::live),
    "live",
    "Tells whether the engine's heart beats",
    &[
        Answer {
            status: 200,
            means: "It beats, or there is no engine yet.",
            content: &[(JSON, of::<health::Alive>)],
        },
        Answer {
            status: 503,
            means: "It does not: the process is of no more use.",
            content: &[(JSON, of::<health::Alive>)],
        },
    ],
);

const READY: Route = read(
    paths::READY,
    || get(health::ready),
    "ready",
    "Tells whether new requests are welcome",
    &[
        Answer {
            status: 200,
            means: "They are.",
            content: &[(JSON, of::<health::Ready>)],
        },
        Answer {
            status: 503,
            means: "They are not: the model loads, or the process is about to end.",
            content: &[(JSON, of::<health::Ready>)],
        },
    ],
);

const STARTUP: Route = read(
    paths::STARTUP,
    || get(health::startup),
    "startup",
    "Tells how far the model is loaded",
    &[
        Answer {
            status: 200,
            means: "It is.",
            content: &[(JSON, of::<Progress>)],
        },
        Answer {
            status: 503,
            means: "It is not yet, or can't be.",
            content: &[(JSON, of::<Progress>)],
        },
    ],
);

const METRICS: Route = Route {
    errors: &[500],
    ..read(
        paths::METRICS,
        || get(health::metrics),
        "metrics",
        "Tells what is measured, under vLLM's names",
        &[Answer {
            status: 200,
            means: "Metrics in Prometheus' text format.",
            content: &[(TEXT, of::<String>)],
        }],
    )
};

const OPENAPI: Route = read(
    api::OPENAPI,
    || get(openapi::serve),
    "openapi",
    "Describes this API",
    &[Answer {
        status: 200,
        means: "An OpenAPI 3.1 document. Once the model is loaded, its bounds are in it.",
        content: &[(JSON, openapi::any_object)],
    }],
);

const V2_SERVER: Route = read(
    v2::SERVER,
    || get(inference::server),
    "v2Server",
    "Tells what the server is (Open Inference Protocol)",
    &[Answer {
        status: 200,
        means: "The server.",
        content: &[(JSON, of::<inference::Server>)],
    }],
);

const V2_LIVE: Route = read(
    v2::LIVE,
    || get(inference::live),
    "v2Live",
    "Tells whether the engine's heart beats (Open Inference Protocol)",
    &[
        Answer {
            status: 200,
            means: "It beats, or there is no engine yet.",
            content: &[(JSON, of::<inference::Live>)],
        },
        Answer {
            status: 503,
            means: "It does not.",
            content: &[(JSON, of::<inference::Live>)],
        },
    ],
);

const V2_READY: Route = read(
    v2::READY,
    || get(inference::ready),
    "v2Ready",
    "Tells whether new requests are welcome (Open Inference Protocol)",
    &[
        Answer {
            status: 200,
            means: "They are.",
            content: &[(JSON, of::<inference::Ready>)],
        },
        Answer {
            status: 503,
            means: "They are not.",
            content: &[(JSON, of::<inference::Ready>)],
        },
    ],
);

const V2_MODEL: Route = Route {
    door: Door::Gate,
    errors: READ_BY_NAME,
    error: of::<inference::Error>,
    ..read(
        v2::MODEL,
        || get(inference::model),
        "v2Model",
        "Tells a model's tensors (Open Inference Protocol)",
        &[Answer {
            status: 200,
            means: "The model. One that writes text has no tensors.",
            content: &[(JSON, of::<inference::Model>)],
        }],
    )
};

const V2_MODEL_READY: Route = Route {
    errors: &[404],
    error: of::<inference::Error>,
    ..read(
        v2::MODEL_READY,
        || get(inference::model_ready),
        "v2ModelReady",
        "Tells whether a model takes requests (Open Inference Protocol)",
        &[
            Answer {
                status: 200,
                means: "It does.",
                content: &[(JSON, of::<inference::ModelReady>)],
            },
            Answer {
                status: 503,
                means: "It does not.",
                content: &[(JSON, of::<inference::ModelReady>)],
            },
        ],
    )
};

const V2_INFER: Route = Route {
    verb: Verb::Post,
    door: Door::Gate,
    body: Some(of::<inference::Request>),
    errors: COMPUTED,
    error: of::<inference::Error>,
    ..read(
        v2::INFER,
        || post(inference::infer),
        "v2Infer",
        "Turns a tensor of texts into one of vectors (Open Inference Protocol)",
        &[Answer {
            status: 200,
            means: "The vectors.",
            content: &[(JSON, of::<inference::Response>)],
        }],
    )
};

const V2_VERSION: Route = Route {
    path: v2::VERSION,
    id: "v2Version",
    ..V2_MODEL
};

const V2_VERSION_READY: Route = Route {
    path: v2::VERSION_READY,
    id: "v2VersionReady",
    ..V2_MODEL_READY
};

const V2_VERSION_INFER: Route = Route {
    path: v2::VERSION_INFER,
    id: "v2VersionInfer",
    ..V2_INFER
};
