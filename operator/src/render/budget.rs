//! How many of a revision's replicas may be taken away at a time.

use chandler_crds::names::labels;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, labels as render_labels};

/// What keeps a drain of nodes from taking a revision's replicas all at once: it waits for a
/// replica elsewhere, which may load for minutes, before it takes the next. The only replica of
/// all may go too, or its node could never be drained.
#[must_use]
pub fn disruption_budget(blueprint: &Blueprint<'_>, revision: &str) -> PodDisruptionBudget {
    let model = blueprint.name();
    let labels = render_labels::of_revision(model, revision, labels::SERVER);
    PodDisruptionBudget {
        metadata: blueprint.metadata(blueprint.revision_name(revision), labels),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(render_labels::replica_selector(model, revision)),
            // A replica that can't become ready serves nobody and must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
