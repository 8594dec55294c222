//! What status tells of a rollout: how far it is, and how it ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::spec::{EvaluationMetric, Model, Server, Strategy};

/// How a revision takes over, or has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The revision that takes over.
    pub revision: String,
    /// The one that it takes over from; absent if none served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How, of the ways that `auto` may have chosen.
    pub strategy: Strategy,
    /// Where the new replicas go; absent while that is not chosen, and where there is nothing to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Where it is.
    pub phase: RolloutPhase,
    /// The step that it is at, from 1; 0 until the revision is ready for the first.
    #[serde(default)]
    pub step: i32,
    /// How many there are, the last of which gives it all the traffic.
    #[serde(default)]
    pub steps: i32,
    /// When that step began.
    pub step_began_at: MicroTime,
    /// Since when the weight of that step was seen to hold; at step 0, since when live prompts are asked aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<MicroTime>,
    /// When the rollout began.
    pub began_at: MicroTime,
    /// What the traffic analysis of the last step that ended came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisStatus>,
    /// What its answers were found to be, before it had any traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswersStatus>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RolloutEnd>,
    /// Hash of what it is judged by: a revision that failed is tried again once that is another.
    pub policy: String,
}

/// Where the replicas of a new revision go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Why so, with what there is room for and what keeps more from having room, as far as that is known.
    pub message: String,
    /// How they take the places of old ones; absent where all come beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<InPlaceStatus>,
}

/// How new replicas take the places of old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceStatus {
    /// Replicas that may be there beyond those wanted; 0: an old one goes before a new one comes.
    pub surge: i32,
    /// Replicas of the model while it lasts, old and new.
    pub replicas: i32,
    /// The most new ones that have been ready: each has its own time of `progressDeadline`.
    pub reached: i32,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutEnd {
    /// When.
    pub at: MicroTime,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// What a canary's traffic was found to be at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisStatus {
    /// The step, from 1; 0 of prompts that were asked aside.
    pub step: i32,
    /// When it ended.
    pub at: MicroTime,
    /// Requests of the canary, or prompts asked aside, that told something.
    pub requests: i64,
    /// What was compared.
    pub checks: Vec<CheckStatus>,
}

/// What one check of the traffic came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckStatus {
    /// `errorRate`, `ttftP95`, `latencyP95` or `tokenTimeP95`, and `answersDiffer` of prompts that were asked aside.
    pub name: String,
    /// What it came to.
    pub verdict: CheckVerdict,
    /// The canary's share of errors or of other answers, or its 95th percentile in seconds; absent if none was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<f64>,
    /// The same of the revision before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<f64>,
    /// Highest share, or highest ratio of the two, that passes.
    pub limit: f64,
}

/// What a revision's answers were found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswersStatus {
    /// When.
    pub at: MicroTime,
    /// One for each of `spec.rollout.evaluation`, in its order.
    pub evaluations: Vec<EvaluationStatus>,
}

/// What one evaluation came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationStatus {
    /// Its name in the spec.
    pub name: String,
    /// How answers were scored.
    pub metric: EvaluationMetric,
    /// What it came to.
    pub verdict: CheckVerdict,
    /// Questions of the suite.
    pub items: i32,
    /// The new revision's score.
    pub canary: f64,
    /// The score of the revision that it takes over from.
    pub stable: f64,
    /// Lower end of the interval that their difference lies in; absent where there are too few questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The first 12 hex digits of the SHA-256 of the report with all answers.
    pub digest: String,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckVerdict {
    /// The limit was kept.
    Passed,
    /// It was not.
    Failed,
    /// The requests did not tell.
    Inconclusive,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutPhase {
    /// It goes on by itself.
    #[default]
    Progressing,
    /// It waits until `spec.rollout.paused` is false.
    Paused,
    /// It failed, and waits for a person as `onFailure` says.
    Held,
    /// The revision has all the traffic.
    Completed,
    /// It failed: the traffic is with the revision before.
    RolledBack,
}

/// What a revision was made from: `spec.model` and `spec.server`, as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTemplate {
    /// The model.
    pub model: Model,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
}

/// Not told field by field: the spec's schema tells them, and twice would double the CRD.
impl JsonSchema for RevisionTemplate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RevisionTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a revision was made from: `spec.model` and `spec.server`, as they were.",
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
        })
    }
}
