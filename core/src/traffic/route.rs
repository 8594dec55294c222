//! Which replica takes a request: a weighted choice of revision, then the least loaded replica.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

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

/// One ready replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Unique over all models.
    pub id: String,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What [`pick`] chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'table> {
    /// The revision's hash.
    pub revision: &'table str,
    /// The replica.
    pub endpoint: &'table Endpoint,
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
    /// Each ready replica is among those excluded.
    #[error("every ready replica of the model was tried")]
    AllTried,
}

impl NoRoute {
    /// A stable CamelCase word for conditions and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownModel => "UnknownModel",
            Self::NoReadyReplica => "NoReadyReplica",
            Self::AllTried => "AllTried",
        }
    }
}

/// Chooses a replica for one request to `model`.
///
/// - `tried`: ids of endpoints that must not be chosen.
/// - `in_flight`: requests in flight at an endpoint, by its id.
/// - `draw`: uniform in `[0, 1)`, chooses the revision; anything outside is clamped.
/// - `turn`: any number that moves on with each request, so that equally loaded replicas share.
///
/// # Errors
/// [`NoRoute`], when there is nothing to choose from.
pub fn pick<'table>(
    table: &'table RouteTable,
    model: &str,
    tried: &[String],
    in_flight: impl Fn(&str) -> u64,
    draw: f64,
    turn: u64,
) -> Result<Choice<'table>, NoRoute> {
    let route = table.models.get(model).ok_or(NoRoute::UnknownModel)?;
    let untried = |endpoint: &&Endpoint| !tried.contains(&endpoint.id);
    let weighted = || route.revisions.iter().filter(|r| r.weight > 0);

    // A revision without an untried endpoint leaves its share to the others.
    let open = || weighted().filter(|r| r.endpoints.iter().any(|e| untried(&e)));
    let Some(revision) = by_weight(open, draw) else {
        let any_ready = weighted().any(|r| !r.endpoints.is_empty());
        return Err(if any_ready {
            NoRoute::AllTried
        } else {
            NoRoute::NoReadyReplica
        });
    };
    let endpoint = least_loaded(revision.endpoints.iter().filter(untried), in_flight, turn)
        .ok_or(NoRoute::AllTried)?;
    Ok(Choice {
        revision: &revision.revision,
        endpoint,
    })
}

/// The revision in whose slice of the summed weights `draw` falls; `None` when there is none.
fn by_weight<'table, I>(revisions: impl Fn() -> I, draw: f64) -> Option<&'table RevisionRoute>
where
    I: Iterator<Item = &'table RevisionRoute>,
{
    let total: u64 = revisions().map(|r| u64::from(r.weight)).sum();
    let draw = if draw.is_nan() {
        0.0
    } else {
        draw.clamp(0.0, 1.0)
    };
    let mut point = (draw * total as f64) as u64;
    let mut last = None;
    for revision in revisions() {
        let weight = u64::from(revision.weight);
        if point < weight {
            return Some(revision);
        }
        point -= weight;
        last = Some(revision);
    }
    // A draw of 1.0, or one that rounding lifted to it, falls behind the last slice.
    last
}

/// The endpoint with the fewest requests in flight; of equals, the one whose turn it is.
fn least_loaded<'table>(
    endpoints: impl Iterator<Item = &'table Endpoint>,
    in_flight: impl Fn(&str) -> u64,
    turn: u64,
) -> Option<&'table Endpoint> {
    let mut least = u64::MAX;
    let mut equals: Vec<&Endpoint> = Vec::new();
    for endpoint in endpoints {
        // Read once: the count moves while we look.
        let load = in_flight(&endpoint.id);
        if load < least {
            least = load;
            equals.clear();
        }
        if load == least {
            equals.push(endpoint);
        }
    }
    let count = u64::try_from(equals.len()).unwrap_or(u64::MAX);
    let index = turn.checked_rem(count)?;
    equals.get(usize::try_from(index).unwrap_or(0)).copied()
}
