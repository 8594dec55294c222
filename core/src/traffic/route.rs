//! Where each model's requests can go, as data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

/// How long a request may take where neither the caller nor the model's spec says.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// Requests that a replica is taken to work on at once where the model's spec leaves it to the
/// engine.
pub const SLOTS: u32 = 8;

/// Where each name leads. A whole new table replaces the old one; nothing edits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteTable {
    /// By name, the `model` of a request.
    pub models: BTreeMap<String, ModelRoute>,
}

/// The revisions behind one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelRoute {
    /// `namespace/name` of the `ModelDeployment`.
    pub key: String,
    /// What its replicas call it. The table may lead to it by another name as well.
    pub served_name: String,
    /// Unix seconds; `/v1/models` tells it.
    pub created: i64,
    /// In any order. A model whose replicas are all away keeps its place with no endpoints.
    pub revisions: Vec<RevisionRoute>,
    /// How long a request may take whose caller sets no deadline.
    pub request_timeout: Duration,
    /// Requests that one replica works on at once; more wait at the replica.
    pub slots: u32,
    /// How long the last start of a replica took, from being wanted to its first answer; `None`
    /// if none is known.
    pub cold_start: Option<Duration>,
    /// Prompts that are asked again of two revisions, aside.
    pub shadow: Option<Shadow>,
}

/// Prompts that two revisions are asked, aside, to count how often they answer otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shadow {
    /// The revision whose callers' prompts these are.
    pub from: String,
    /// The one that is to take over from it.
    pub to: String,
    /// Which of them.
    pub share: ShadowShare,
}

/// How many prompts are asked aside, and which answers to one are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShadowShare {
    /// Percent of the prompts.
    pub percent: u32,
    /// Answers are alike from this chrF on, in millionths of the greatest.
    pub millionths: u32,
}

impl Default for ModelRoute {
    fn default() -> Self {
        Self {
            key: String::new(),
            served_name: String::new(),
            created: 0,
            revisions: Vec::new(),
            request_timeout: REQUEST_TIMEOUT,
            slots: SLOTS,
            cold_start: None,
            shadow: None,
        }
    }
}

/// One revision's share of the traffic and its ready replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevisionRoute {
    /// The revision's hash.
    pub revision: String,
    /// Share relative to the other revisions that have an endpoint; 0 takes no traffic.
    pub weight: u32,
    /// Ready replicas only.
    pub endpoints: Vec<Endpoint>,
}

impl RevisionRoute {
    /// Whether it takes traffic now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.weight > 0 && !self.endpoints.is_empty()
    }
}

/// One ready replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Unique over all models.
    pub id: String,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Why no replica could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The table has no such served name.
    #[error("no model of that name is served")]
    UnknownModel,
    /// The model is known, but no revision with a weight has a ready replica.
    #[error("no replica of the model is ready")]
    NoReadyReplica,
    /// The caller asked for a revision that takes no traffic or has no ready replica.
    #[error("the revision asked for takes no requests; ask for none, or for one that does")]
    RevisionNotAvailable,
    /// Each ready replica is among those excluded.
    #[error("every ready replica of the model was tried")]
    AllTried,
}

impl NoRoute {
    /// A stable CamelCase word for conditions and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownModel => "UnknownModel",
            Self::NoReadyReplica => "NoReadyReplica",
            Self::RevisionNotAvailable => "RevisionNotAvailable",
            Self::AllTried => "AllTried",
        }
    }
}
