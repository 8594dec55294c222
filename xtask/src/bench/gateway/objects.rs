//! What an operator and Kubernetes would have written of a model and its replicas.

use super::api_server::ApiServer;
use super::question::MODEL;
use super::replicas::Replica;
use serde_json::{Value, json};

const NAMESPACE: &str = "bench";
const NAME: &str = "chat";
const REVISION: &str = "chat-1";
const LONG_AGO: &str = "2024-01-01T00:00:00Z";

/// One model of one revision, which serves by these replicas. Each works on `slots` requests at
/// once; `None` leaves that to the engine.
pub(super) fn put_model(api: &ApiServer, replicas: &[Replica], slots: Option<usize>) {
    for replica in replicas {
        put_replica(api, *replica);
    }
    let mut spec = json!({"model": {"source": "hf://org/model"}});
    if let Some(slots) = slots {
        spec["server"] = json!({"maxBatch": slots});
    }
    let replicas = replicas.len();
    let revision = json!({
        "name": REVISION,
        "phase": "Serving",
        "weight": 100,
        "replicas": replicas,
        "readyReplicas": replicas,
        "createdAt": "2024-01-01T00:00:00.000000Z",
    });
    api.put(
        "modeldeployments",
        json!({
            "apiVersion": "chandler.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "creationTimestamp": LONG_AGO},
            "spec": spec,
            "status": {"servedName": MODEL, "revisions": [revision]},
        }),
    );
}

/// A replica is ready.
pub(super) fn put_replica(api: &ApiServer, replica: Replica) {
    api.put("endpointslices", slice(replica, true));
}

/// A replica is on its way out.
pub(super) fn leave(api: &ApiServer, replica: Replica) {
    api.put("endpointslices", slice(replica, false));
}

/// A replica is gone.
pub(super) fn delete_replica(api: &ApiServer, replica: Replica) {
    api.delete("endpointslices", slice(replica, false));
}

/// A slice for one replica, which is all that a slice on loopback can tell: its endpoints share a
/// port.
fn slice(replica: Replica, ready: bool) -> Value {
    let pod = format!("{REVISION}-{}", replica.number);
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": pod,
            "namespace": NAMESPACE,
            "labels": {"chandler.dev/model": NAME, "chandler.dev/revision": REVISION},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": replica.addr.port()}],
        "endpoints": [{
            "addresses": [replica.addr.ip()],
            "conditions": {"ready": ready, "serving": true, "terminating": !ready},
            "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": pod},
        }],
    })
}
