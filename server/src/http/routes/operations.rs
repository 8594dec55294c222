//! Health, metrics and the document of all routes.

use axum::routing::get;
use chandler_crds::names::{api, paths};

use super::super::{health, openapi};
use super::{Answer, JSON, Route, TEXT, of, read};
use crate::lifecycle::Progress;

pub(super) const LIVE: Route = read(
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

pub(super) const READY: Route = read(
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

pub(super) const STARTUP: Route = read(
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

pub(super) const METRICS: Route = Route {
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

pub(super) const OPENAPI: Route = read(
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
