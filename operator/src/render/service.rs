//! Services: one headless for each revision, and one under the model's own name.

use std::collections::BTreeMap;

use chandler_core::snapshot::Weights;
use chandler_crds::names::{annotations, labels, ports};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Blueprint, labels as render_labels};

/// The Service through which the gateway finds a revision's ready replicas.
#[must_use]
pub fn headless_service(blueprint: &Blueprint<'_>, revision: &str) -> Service {
    let model = blueprint.name();
    let labels = render_labels::of_revision(model, revision, labels::SERVER);
    Service {
        metadata: blueprint.metadata(blueprint.revision_name(revision), labels),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(false),
            selector: Some(render_labels::replicas(model, revision)),
            ports: Some(vec![port(ports::HTTP)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The Service under the model's name, for callers that know no gateway. A Service can't split
/// traffic by weight, so it stands for the revision with most of it; the weights themselves are
/// in its annotation.
#[must_use]
pub fn stable_service(blueprint: &Blueprint<'_>, weights: &Weights) -> Service {
    let model = blueprint.name();
    let labels = render_labels::of_model(model, labels::SERVER);
    let mut metadata = blueprint.metadata(model.to_owned(), labels);
    metadata.annotations = Some(BTreeMap::from([(
        annotations::WEIGHTS.to_owned(),
        // A map from text to numbers always serialises.
        serde_json::to_string(weights).unwrap_or_default(),
    )]));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(render_labels::replicas(model, heaviest(weights))),
            ports: Some(vec![port(ports::SERVICE)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The weights that a stable Service tells. What is not there or can't be read is no traffic,
/// and the next decision sets it.
#[must_use]
pub fn weights_of(stable: &Service) -> Weights {
    let annotations = stable.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(annotations::WEIGHTS))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn heaviest(weights: &Weights) -> &str {
    weights
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .max_by_key(|(_, weight)| **weight)
        .map_or(labels::NO_REVISION, |(revision, _)| revision)
}

fn port(number: u16) -> ServicePort {
    ServicePort {
        name: Some(ports::HTTP_NAME.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(ports::HTTP_NAME.to_owned())),
        // Written out, since server-side apply tells ports apart by it.
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
