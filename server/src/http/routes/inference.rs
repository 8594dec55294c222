//! Routes of the Open Inference Protocol.

use axum::routing::{get, post};
use chandler_crds::names::inference as paths;

use super::super::inference;
use super::{Answer, Door, JSON, READ_BY_NAME, Route, computed, of, read};

pub(super) const SERVER: Route = read(
    paths::SERVER,
    || get(inference::server),
    "v2Server",
    "Tells what the server is (Open Inference Protocol)",
    &[Answer {
        status: 200,
        means: "The server.",
        content: &[(JSON, of::<inference::Server>)],
    }],
);

pub(super) const LIVE: Route = read(
    paths::LIVE,
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

pub(super) const READY: Route = read(
    paths::READY,
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

pub(super) const MODEL: Route = Route {
    door: Door::Gate,
    errors: READ_BY_NAME,
    error: of::<inference::Error>,
    ..read(
        paths::MODEL,
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

pub(super) const MODEL_READY: Route = Route {
    errors: &[404],
    error: of::<inference::Error>,
    ..read(
        paths::MODEL_READY,
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

pub(super) const INFER: Route = Route {
    error: of::<inference::Error>,
    ..computed(
        paths::INFER,
        || post(inference::infer),
        of::<inference::Request>,
        "v2Infer",
        "Turns a tensor of texts into vectors or labels (Open Inference Protocol)",
        &[Answer {
            status: 200,
            means: "The vectors, or the labels with their probabilities.",
            content: &[(JSON, of::<inference::Response>)],
        }],
    )
};

pub(super) const VERSION: Route = Route {
    path: paths::VERSION,
    id: "v2Version",
    ..MODEL
};

pub(super) const VERSION_READY: Route = Route {
    path: paths::VERSION_READY,
    id: "v2VersionReady",
    ..MODEL_READY
};

pub(super) const VERSION_INFER: Route = Route {
    path: paths::VERSION_INFER,
    id: "v2VersionInfer",
    ..INFER
};
