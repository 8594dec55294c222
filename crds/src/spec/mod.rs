//! `spec`: what a user asks for. Defaults are told in the docs and applied in
//! `chandler_core::validate`, never written back: Git and the operator must not fight.

mod autoscaling;
mod model;
mod rollout;
mod server;

pub use autoscaling::{Autoscaling, Behavior, ScalingLimit, ScheduledFloor, Targets};
pub use model::{CacheKind, Dtype, Model, ModelCache, SecretReference, Task};
pub use rollout::{
    Analysis, Evaluation, EvaluationMetric, ModelReference, OnFailure, Rollout, RolloutStep,
    Shadow, Strategy, SuiteReference,
};
pub use server::{Device, Resources, Server};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::status::ModelDeploymentStatus;

/// A served model: where it comes from, what serves it, how many replicas, and how a new
/// revision takes over.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "chandler.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "mdl",
    category = "all",
    namespaced,
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    doc = "A served model: where it comes from, what serves it, how many replicas, and how a new revision takes over.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether this generation answers requests"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.replicaSummary",
        description = "Ready replicas of those wanted"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.currentRevision",
        description = "The revision that has the traffic"
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".spec.model.source",
        description = "Where the model comes from"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 50").message(
        "metadata.name must be at most 50 characters, since a revision's hash is added to it: write a shorter name"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name becomes a Service's: write lower-case letters, digits and hyphens, a letter first and no hyphen last"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message(
        "write either replicas or autoscaling, not both: remove replicas to let the autoscaler decide, or remove autoscaling to keep a fixed count"
    )
)]
pub struct ModelDeploymentSpec {
    /// The model to serve.
    pub model: Model,

    /// The server that runs it, one process a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,

    /// Fixed number of replicas, 1 if neither this nor `autoscaling` is given; 0 stops the model.
    /// `kubectl scale` and a HorizontalPodAutoscaler write here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 10000").message("replicas must be from 0 to 10000"))]
    pub replicas: Option<i32>,

    /// Let the operator choose the number of replicas from what they measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// How a new revision takes over from the one that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,

    /// Revisions that status remembers beside those that have replicas, so that going back to one
    /// brings back the very same files. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 50").message("revisionHistoryLimit must be from 0 to 50"))]
    pub revision_history_limit: Option<i32>,

    /// Freeze everything as it is: nothing is created, scaled, shifted or removed while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}
