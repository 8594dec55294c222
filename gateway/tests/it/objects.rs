//! What an operator and an endpoint controller would write.

use std::collections::BTreeMap;

use chandler_crds::names::{labels, ports};
use chandler_crds::status::{ModelDeploymentStatus, RevisionPhase, RevisionStatus};
use chandler_crds::{ModelDeployment, ModelDeploymentSpec, spec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use crate::upstream::Upstream;

/// The model `NAMESPACE/m`, served as `chat`.
pub(crate) fn model(namespace: &str, weights: &[(&str, i32)]) -> ModelDeployment {
    let model = spec::Model {
        source: "hf://org/model".into(),
        ..spec::Model::default()
    };
    let spec = ModelDeploymentSpec {
        model,
        ..ModelDeploymentSpec::default()
    };
    let mut object = ModelDeployment::new("m", spec);
    object.metadata.namespace = Some(namespace.into());
    object.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    object.status = Some(ModelDeploymentStatus {
        served_name: Some("chat".into()),
        revisions: weights.iter().map(revision).collect(),
        ..ModelDeploymentStatus::default()
    });
    object
}

fn revision(&(name, weight): &(&str, i32)) -> RevisionStatus {
    RevisionStatus {
        name: name.into(),
        phase: RevisionPhase::Serving,
        weight,
        replicas: 1,
        ready_replicas: 1,
        created_at: MicroTime(Timestamp::UNIX_EPOCH),
        template: None,
        lock: None,
        answered_at: None,
        startup: None,
        capacity: None,
        draining_since: None,
        in_flight: None,
        failure: None,
        rejected: None,
    }
}

/// A slice of a revision of `NAMESPACE/m` for one upstream, which is all that a slice on loopback
/// can tell: its endpoints share a port.
pub(crate) fn slice(namespace: &str, revision: &str, upstream: &Upstream) -> EndpointSlice {
    let addr = upstream.endpoint.addr;
    let pod = &upstream.endpoint.id;
    let labels = [(labels::MODEL, "m"), (labels::REVISION, revision)];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    EndpointSlice {
        address_type: "IPv4".into(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![addr.ip().to_string()],
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(namespace.into()),
                name: Some(pod.clone()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        }]),
        metadata: ObjectMeta {
            name: Some(format!("m-{revision}-{pod}")),
            namespace: Some(namespace.into()),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        ports: Some(vec![EndpointPort {
            name: Some(ports::HTTP_NAME.into()),
            port: Some(addr.port().into()),
            ..EndpointPort::default()
        }]),
    }
}
