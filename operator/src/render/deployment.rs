//! A revision's Deployment.

use chandler_core::worker::WorkerSpec;
use chandler_crds::names::labels;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, labels as render_labels};

/// Kubernetes' word for no deadline: how long a revision may take is decided from its own status.
const NO_DEADLINE: i32 = i32::MAX;

/// The Deployment that runs `replicas` of `revision`.
#[must_use]
pub fn deployment(
    blueprint: &Blueprint<'_>,
    revision: &str,
    worker: &WorkerSpec,
    replicas: u32,
) -> Deployment {
    let model = blueprint.name();
    let labels = render_labels::of_revision(model, revision, labels::SERVER);
    Deployment {
        metadata: blueprint.metadata(blueprint.revision_name(revision), labels),
        spec: DeploymentSpec {
            replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
            selector: render_labels::replica_selector(model, revision),
            // A revision is immutable, so this serves a mended template alone: never one fewer.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(1),
            progress_deadline_seconds: Some(NO_DEADLINE),
            template: blueprint.server_pod(revision, worker),
            ..DeploymentSpec::default()
        },
        status: None,
    }
}
