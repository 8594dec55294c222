//! `status`: what was really done and seen. What a restart must not forget stands here too;
//! `chandler_core::memory` reads it back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lock::ModelLock;

/// What was really done and seen.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Replicas of all revisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Replicas of all revisions that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Ready replicas of those wanted, such as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_summary: Option<String>,

    /// Label selector of the replicas, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// The revision that has the traffic, or most of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,

    /// The name that callers give as `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_name: Option<String>,

    /// Every revision that exists, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub revisions: Vec<RevisionStatus>,

    /// `Ready`, `Reconciling` and `Stalled` follow kstatus; the others tell one thing each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The reasons of the last decision, with their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// One revision: an immutable hash of everything that changes a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// The hash.
    pub name: String,
    /// Where it is in its life.
    pub phase: RevisionPhase,
    /// Percent of the traffic.
    #[serde(default)]
    pub weight: i32,
    /// Replicas wanted.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas ready.
    #[serde(default)]
    pub ready_replicas: i32,
    // Times that are reckoned with keep their microseconds: a deadline cut to the second before
    // would cut a drain short.
    /// When it was first wanted with replicas.
    pub created_at: MicroTime,
    /// The digests of the model's files, locked when the source was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<ModelLock>,
    /// When it first answered a probe request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<MicroTime>,
    /// How long its first replica took, step by step, until it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupTimes>,
    /// Since when it has had no traffic and is on its way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<MicroTime>,
    /// The failure that holds it up, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RevisionFailure>,
}

/// How long each step took from a replica's creation to its first answer, in milliseconds. What a
/// world can't tell is absent: a local replica is neither scheduled nor pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartupTimes {
    /// From the pod's creation until a node was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_ms: Option<u64>,
    /// From then until the first container ran: volumes, network, images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_ms: Option<u64>,
    /// Bringing the model's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_ms: Option<u64>,
    /// Verifying and loading them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<u64>,
    /// The server's own first computation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up_ms: Option<u64>,
    /// The probe request, from sent to answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_answer_ms: Option<u64>,
}

/// Where a revision is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevisionPhase {
    /// Its source is being resolved.
    #[default]
    Resolving,
    /// Its replicas are starting.
    Starting,
    /// It has traffic.
    Serving,
    /// It is ready and has no traffic.
    Standby,
    /// It has no traffic any more and finishes what it has.
    Draining,
    /// It has no replicas.
    Idle,
}

/// A failure of a step of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionFailure {
    /// A word for programs, in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Failures in a row.
    pub attempts: i32,
    /// When the last one was.
    pub at: MicroTime,
    /// Whether trying again can help without a change by a person.
    pub transient: bool,
}
