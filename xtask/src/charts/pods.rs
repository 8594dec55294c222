//! The Pod Security Standard *restricted*, and what we keep beyond it.

use serde_json::Value;

/// Volumes that the standard allows.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Fields of a pod that let it see the node.
const OF_THE_NODE: &[&str] = &["hostNetwork", "hostPID", "hostIPC"];
/// Fields of a security context that only loosen what the standard allows.
const LOOSENING: &[&str] = &[
    "privileged",
    "procMount",
    "seLinuxOptions",
    "sysctls",
    "windowsOptions",
];

/// The one component whose pods see a folder of their node.
const NODE_CACHE: &str = "node-cache";
/// What only its pods may: the first container gives that folder to another user.
const OF_NODE_CACHE: &[&str] = &[
    "a volume may not be a hostPath",
    "container prepare: capabilities.add must not hold CHOWN",
    "container prepare: runAsNonRoot must be left to the pod",
    "container prepare: runAsUser must be left to the pod",
];

/// What is wrong with the pods of an object, if it makes any.
pub(super) fn check(object: &Value) -> Vec<String> {
    let mut findings = check_all(object);
    if object["metadata"]["labels"]["app.kubernetes.io/component"] == NODE_CACHE {
        findings.retain(|finding| !OF_NODE_CACHE.contains(&finding.as_str()));
    }
    findings
}

fn check_all(object: &Value) -> Vec<String> {
    let spec = match object["kind"].as_str() {
        Some("Pod") => &object["spec"],
        Some("DaemonSet" | "Deployment" | "Job" | "StatefulSet") => {
            &object["spec"]["template"]["spec"]
        }
        _ => return Vec::new(),
    };
    let mut findings = pod(spec);
    let containers = ["initContainers", "containers"].map(|field| list(&spec[field]));
    for one in containers.into_iter().flatten() {
        let name = one["name"].as_str().unwrap_or("without a name");
        let found = container(one);
        findings.extend(
            found
                .iter()
                .map(|finding| format!("container {name}: {finding}")),
        );
    }
    findings
}

fn pod(spec: &Value) -> Vec<String> {
    let context = &spec["securityContext"];
    let mut findings = Vec::new();
    if context["runAsNonRoot"] != true {
        findings.push("runAsNonRoot must be true".to_owned());
    }
    if context["runAsUser"].as_i64().is_none_or(|user| user == 0) {
        findings.push("runAsUser must be a user other than 0".to_owned());
    }
    if context["seccompProfile"]["type"] != "RuntimeDefault" {
        findings.push("seccompProfile.type must be RuntimeDefault".to_owned());
    }
    let forbidden = OF_THE_NODE.iter().filter(|field| !spec[**field].is_null());
    findings.extend(forbidden.map(|field| format!("{field} must not be set")));
    findings.extend(loosening(context));
    for volume in list(&spec["volumes"]) {
        let kinds = volume.as_object().into_iter().flat_map(|it| it.keys());
        let bad = kinds.filter(|kind| *kind != "name" && !VOLUMES.contains(&kind.as_str()));
        findings.extend(bad.map(|kind| format!("a volume may not be a {kind}")));
    }
    findings
}

fn container(container: &Value) -> Vec<String> {
    let context = &container["securityContext"];
    let mut findings = loosening(context);
    if context["allowPrivilegeEscalation"] != false {
        findings.push("allowPrivilegeEscalation must be false".to_owned());
    }
    if context["readOnlyRootFilesystem"] != true {
        findings.push("readOnlyRootFilesystem must be true".to_owned());
    }
    if !list(&context["capabilities"]["drop"]).any(|capability| capability == "ALL") {
        findings.push("capabilities.drop must name ALL".to_owned());
    }
    for capability in list(&context["capabilities"]["add"]) {
        let name = capability.as_str().unwrap_or_default();
        findings.push(format!("capabilities.add must not hold {name}"));
    }
    for field in ["runAsNonRoot", "runAsUser", "seccompProfile"] {
        if !context[field].is_null() {
            findings.push(format!("{field} must be left to the pod"));
        }
    }
    if list(&container["ports"]).any(|port| !port["hostPort"].is_null()) {
        findings.push("hostPort must not be set".to_owned());
    }
    if !is_pinned(container["image"].as_str().unwrap_or_default()) {
        findings.push(format!("image {} names no version", container["image"]));
    }
    findings
}

fn loosening(context: &Value) -> Vec<String> {
    let set = LOOSENING.iter().filter(|field| !context[**field].is_null());
    set.map(|field| format!("{field} must not be set"))
        .collect()
}

/// Whether an image has a digest, or a tag that does not move.
fn is_pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        Some((_, tag)) => !tag.is_empty() && tag != "latest",
        None => false,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"kind": "Pod", "spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{"name": "a", "image": "example.com:5000/a:1", "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            }}],
        }})
    }

    #[test]
    fn a_restricted_pod_is_good() {
        assert_eq!(check(&good()), [] as [&str; 0]);
        assert_eq!(check(&json!({"kind": "Service"})), [] as [&str; 0]);
    }

    #[test]
    fn only_the_node_cache_may_give_a_folder_of_its_node_away() {
        let mut pod = good();
        let root = json!({"runAsUser": 0, "runAsNonRoot": false, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}});
        pod["spec"]["initContainers"] =
            json!([{"name": "prepare", "image": "a:1", "securityContext": root}]);
        pod["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/v"}}]);
        assert_eq!(check(&pod).len(), OF_NODE_CACHE.len());
        pod["metadata"]["labels"]["app.kubernetes.io/component"] = json!(NODE_CACHE);
        assert_eq!(check(&pod), [] as [&str; 0]);
        let added = &mut pod["spec"]["initContainers"][0]["securityContext"]["capabilities"]["add"];
        *added = json!(["CHOWN", "SYS_ADMIN"]);
        assert_eq!(check(&pod).len(), 1);
    }

    #[test]
    fn every_way_out_is_told() {
        let container = "/spec/containers/0/securityContext";
        for (place, field, value) in [
            ("/spec/securityContext", "runAsNonRoot", json!(false)),
            ("/spec/securityContext", "runAsUser", json!(0)),
            ("/spec/securityContext", "seccompProfile", Value::Null),
            ("/spec/securityContext", "sysctls", json!([])),
            ("/spec", "hostNetwork", json!(true)),
            (
                "/spec",
                "volumes",
                json!([{"name": "v", "hostPath": {"path": "/"}}]),
            ),
            (container, "allowPrivilegeEscalation", Value::Null),
            (container, "readOnlyRootFilesystem", json!(false)),
            (container, "capabilities", json!({"drop": ["NET_RAW"]})),
            (
                container,
                "capabilities",
                json!({"drop": ["ALL"], "add": ["CHOWN"]}),
            ),
            (container, "privileged", json!(true)),
            (container, "runAsUser", json!(0)),
            ("/spec/containers/0", "ports", json!([{"hostPort": 80}])),
            ("/spec/containers/0", "image", json!("example.com:5000/a")),
            ("/spec/containers/0", "image", json!("a:latest")),
        ] {
            let mut pod = good();
            pod.pointer_mut(place).expect(place)[field] = value;
            assert_eq!(check(&pod).len(), 1, "{place} {field}: {:?}", check(&pod));
        }
    }
}
