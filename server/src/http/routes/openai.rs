//! Routes of OpenAI's API, and what vLLM has beside it.

use axum::routing::{get, post};
use chandler_crds::names::api;

use super::super::openapi::{self, answers, requests};
use super::super::{models, openai};
use super::{Answer, Door, EVENTS, JSON, READ, READ_BY_NAME, Route, computed, of, read};

pub(super) const CHAT: Route = computed(
    api::CHAT,
    || post(openai::chat),
    of::<requests::ChatRequest>,
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
);

pub(super) const COMPLETIONS: Route = computed(
    api::COMPLETIONS,
    || post(openai::completions),
    of::<requests::CompletionRequest>,
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
);

pub(super) const EMBEDDINGS: Route = computed(
    api::EMBEDDINGS,
    || post(openai::embeddings),
    of::<requests::EmbeddingRequest>,
    "embed",
    "Turns texts into vectors",
    &[Answer {
        status: 200,
        means: "A vector for each text.",
        content: &[(JSON, of::<openai::EmbeddingAnswer>)],
    }],
);

pub(super) const CLASSIFY: Route = computed(
    api::CLASSIFY,
    || post(openai::classify),
    of::<requests::ClassificationRequest>,
    "classify",
    "Tells how likely labels are for texts",
    &[Answer {
        status: 200,
        means: "The labels of each text.",
        content: &[(JSON, of::<openai::ClassificationAnswer>)],
    }],
);

pub(super) const TOKENIZE: Route = computed(
    api::TOKENIZE,
    || post(openai::tokenize),
    of::<requests::TokenizeRequest>,
    "tokenize",
    "Tells the tokens of a text or a conversation",
    &[Answer {
        status: 200,
        means: "The tokens.",
        content: &[(JSON, of::<openai::TokenizeAnswer>)],
    }],
);

pub(super) const DETOKENIZE: Route = computed(
    api::DETOKENIZE,
    || post(openai::detokenize),
    of::<requests::DetokenizeRequest>,
    "detokenize",
    "Tells the text of tokens",
    &[Answer {
        status: 200,
        means: "The text.",
        content: &[(JSON, of::<openai::DetokenizeAnswer>)],
    }],
);

pub(super) const MODELS: Route = Route {
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

pub(super) const ONE_MODEL: Route = Route {
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
