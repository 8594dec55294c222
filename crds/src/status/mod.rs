//! `status`: what was really done and seen. What a restart must not forget stands here too;
//! `chandler_core::memory` reads it back.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lock::ModelLock;

mod rollout;

pub use rollout::{
    AnalysisStatus, AnswersStatus, CheckStatus, CheckVerdict, EvaluationStatus, InPlaceStatus,
    PlanStatus, RevisionTemplate, RolloutEnd, RolloutPhase, RolloutStatus,
};

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

    /// How the count of replicas followed the load, of a model that scales.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,

    /// How the last revision that was asked for takes over, or has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,

    /// Every revision that exists and the last ones that have, oldest first.
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
    /// What it was made from, as the spec had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<RevisionTemplate>,
    /// The digests of the model's files, locked when the source was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<ModelLock>,
    /// When it first answered a probe request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<MicroTime>,
    /// How long its first replica took, step by step, until it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupTimes>,
    /// What one of its replicas does within the targets, as it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<ReplicaCapacity>,
    /// Since when it has had no traffic and is on its way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<MicroTime>,
    /// Requests that it still has while it is on its way out; absent if nobody tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<i64>,
    /// The failure that holds it up, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RevisionFailure>,
    /// Why it was taken back, if its last rollout failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RolloutEnd>,
}

/// What one replica does while its signals are within their targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCapacity {
    /// Tokens of prompts a second, were there nothing else to do.
    pub prefill_tokens_per_second: f64,
    /// Tokens of answers a second, were there nothing else to do.
    pub decode_tokens_per_second: f64,
    /// Requests a second, of those that came of late.
    pub requests_per_second: f64,
    /// When this was learned.
    pub learned_at: MicroTime,
    /// When a replica last had more to do than that; absent if none ever had, so that it may well do
    /// more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_at: Option<MicroTime>,
}

/// How the count of replicas followed the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStatus {
    /// The last changes of the count, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<ScalingDecision>,
    /// Since when fewer replicas would have done, in parts: none while all are needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lows: Vec<ScalingWish>,
    /// Since when more would have been needed, in parts, where `scaleUp.stabilization` has them wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub highs: Vec<ScalingWish>,
}

/// A change of the count, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingDecision {
    /// When.
    pub at: MicroTime,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// The reasons, with their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// As many replicas would have done from a moment until the next one that is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingWish {
    /// Since when.
    pub since: MicroTime,
    /// As many replicas.
    pub replicas: i32,
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

impl StartupTimes {
    /// All that is known of, from a replica's creation to its first answer.
    #[must_use]
    pub fn total(&self) -> Duration {
        let Self {
            schedule_ms,
            pull_ms,
            fetch_ms,
            load_ms,
            warm_up_ms,
            first_answer_ms,
        } = *self;
        let steps = [
            schedule_ms,
            pull_ms,
            fetch_ms,
            load_ms,
            warm_up_ms,
            first_answer_ms,
        ];
        let known = steps.into_iter().flatten();
        Duration::from_millis(known.fold(0, u64::saturating_add))
    }
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
    /// It is gone, and could be made again.
    Retired,
    /// It is gone or goes, for its rollout failed.
    Failed,
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
