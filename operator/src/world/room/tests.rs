//! Clusters in a few words, and how many more replicas they have room for.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, ResourceQuota};
use serde::de::DeserializeOwned;

use super::room;

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).expect("an object")
}

/// A node that offers so much, with what else stands in its spec.
fn node(name: &str, offers: &str, spec: &str) -> Node {
    read(&format!(
        "{{metadata: {{name: {name}, labels: {{disk: fast}}}}, spec: {{{spec}}}, status: {{
            allocatable: {{pods: 110, {offers}}}, conditions: [{{type: Ready, status: 'True'}}]}}}}"
    ))
}

/// A pod that asks for so much, with what else stands in its spec.
fn spec(asks: &str, spec: &str) -> PodSpec {
    read(&format!(
        "{{{spec} containers: [{{name: server, resources: {{{asks}}}}}]}}"
    ))
}

/// A pod of someone on a node.
fn on(node: &str, asks: &str) -> Pod {
    Pod {
        spec: Some(spec(asks, &format!("nodeName: {node},"))),
        ..Pod::default()
    }
}

fn quota(spec: &str, hard: &str, used: &str) -> ResourceQuota {
    read(&format!(
        "{{metadata: {{name: team}}, spec: {{{spec}}}, status: {{hard: {{{hard}}}, used: {{{used}}}}}}}"
    ))
}

const GPU: &str = "limits: {nvidia.com/gpu: 1}";

/// Room for one more such pod, and what is told if there is none.
fn told(pod: &PodSpec, nodes: &[Node], pods: &[Pod], quotas: &[ResourceQuota]) -> (u32, String) {
    let room = room(pod, nodes, pods, quotas);
    (room.replicas, room.short_of.unwrap_or_default())
}

#[test]
fn one_node_with_one_gpu() {
    let nodes = [node("a", "cpu: 8, nvidia.com/gpu: 1", "")];
    let pod = spec(GPU, "");
    let short = "0/1 nodes have room for one more: 1 Insufficient nvidia.com/gpu";
    assert_eq!(told(&pod, &nodes, &[], &[]), (1, short.to_owned()));
    let taken = [on("a", GPU)];
    assert_eq!(told(&pod, &nodes, &taken, &[]), (0, short.to_owned()));
    assert_eq!(
        told(&pod, &[], &[], &[]),
        (0, "there is no node".to_owned())
    );
}

#[test]
fn gpus_that_others_have_are_none() {
    let nodes = ["a", "b"].map(|name| node(name, "cpu: 8, nvidia.com/gpu: 4", ""));
    let pods = [
        on("a", "limits: {nvidia.com/gpu: 3}"),
        on("b", "limits: {nvidia.com/gpu: 2}"),
    ];
    let pod = |count: u32| spec(&format!("limits: {{nvidia.com/gpu: {count}}}"), "");
    let short = "0/2 nodes have room for one more: 2 Insufficient nvidia.com/gpu".to_owned();
    for (count, replicas) in [(1, 3), (2, 1), (3, 0)] {
        let told = told(&pod(count), &nodes, &pods, &[]);
        assert_eq!(told, (replicas, short.clone()), "of {count} each");
    }
}

#[test]
fn amounts_are_read_as_kubernetes_writes_them() {
    let nodes = [node("a", "cpu: 3500m, memory: 16Gi", "")];
    for (asks, replicas) in [
        ("requests: {cpu: 500m}", 7),
        ("requests: {cpu: '1'}", 3),
        ("requests: {cpu: 0.1}", 35),
        ("requests: {memory: 4Gi}", 4),
        ("requests: {memory: 4G}", 4),
        ("requests: {memory: 5000Mi}", 3),
        ("requests: {memory: 1e9}", 17),
        ("requests: {cpu: 1}, limits: {cpu: 8}", 3),
        ("limits: {cpu: 2}", 1),
        ("requests: {nvidia.com/gpu: 0, cpu: 1}", 3),
        ("", 110),
    ] {
        let room = room(&spec(asks, ""), &nodes, &[], &[]);
        assert_eq!(room.replicas, replicas, "{asks}");
    }
}

#[test]
fn an_init_container_counts_while_it_runs() {
    let nodes = [node("a", "cpu: 8, memory: 8Gi", "")];
    let init = |policy: &str| {
        format!("initContainers: [{{name: fetch, {policy} resources: {{requests: {{cpu: 3}}}}}}],")
    };
    let replicas =
        |policy| room(&spec("requests: {cpu: 1}", &init(policy)), &nodes, &[], &[]).replicas;
    assert_eq!(replicas(""), 2);
    assert_eq!(replicas("restartPolicy: Always,"), 2);
    let both = [on("a", "requests: {cpu: 1}"), on("a", "requests: {cpu: 1}")];
    let sidecar = spec("requests: {cpu: 1}", &init("restartPolicy: Always,"));
    assert_eq!(room(&sidecar, &nodes, &both, &[]).replicas, 1);
}

#[test]
fn nodes_that_take_no_such_pod() {
    let taint = |effect: &str| {
        let taint = format!("{{key: gpu, value: a100, effect: {effect}}}");
        node("a", "cpu: 8", &format!("taints: [{taint}]"))
    };
    let unschedulable = node("a", "cpu: 8", "unschedulable: true");
    let away = read::<Node>(
        "{metadata: {name: a}, status: {allocatable: {cpu: 8, pods: 110},
          conditions: [{type: Ready, status: Unknown}]}}",
    );
    let tolerates = |it: &str| format!("tolerations: [{it}],");
    let untolerated = "1 had untolerated taint {gpu: a100}";
    for (node, pod, reason) in [
        (taint("NoSchedule"), String::new(), untolerated),
        (taint("NoExecute"), String::new(), untolerated),
        (taint("PreferNoSchedule"), String::new(), ""),
        (
            taint("NoSchedule"),
            tolerates("{key: gpu, value: a100}"),
            "",
        ),
        (
            taint("NoSchedule"),
            tolerates("{key: gpu, value: h100}"),
            untolerated,
        ),
        (
            taint("NoSchedule"),
            tolerates("{key: gpu, operator: Exists}"),
            "",
        ),
        (taint("NoSchedule"), tolerates("{operator: Exists}"), ""),
        (
            taint("NoSchedule"),
            tolerates("{operator: Exists, effect: NoExecute}"),
            untolerated,
        ),
        (unschedulable, String::new(), "1 unschedulable"),
        (away, String::new(), "1 not ready"),
        (
            taint("PreferNoSchedule"),
            "nodeSelector: {disk: fast},".to_owned(),
            "",
        ),
        (
            taint("PreferNoSchedule"),
            "nodeSelector: {disk: slow},".to_owned(),
            "1 didn't match the node selector",
        ),
    ] {
        let (replicas, told) = told(&spec("requests: {cpu: 8}", &pod), &[node], &[], &[]);
        let expected = if reason.is_empty() {
            "1 Insufficient cpu"
        } else {
            reason
        };
        assert_eq!(replicas, u32::from(reason.is_empty()), "{pod}");
        assert!(told.ends_with(expected), "{told} of {pod}");
    }
}

#[test]
fn a_quota_may_leave_less_than_the_nodes() {
    let nodes = [node("a", "cpu: 8, nvidia.com/gpu: 8", "")];
    let pod = spec(
        "requests: {cpu: 1}, limits: {nvidia.com/gpu: 1, cpu: 2}",
        "",
    );
    for (it, replicas, short) in [
        (
            quota("", "pods: 3", "pods: 2"),
            1,
            "quota `team` leaves too little pods",
        ),
        (
            quota(
                "",
                "requests.nvidia.com/gpu: 4",
                "requests.nvidia.com/gpu: 4",
            ),
            0,
            "quota `team` leaves too little requests.nvidia.com/gpu",
        ),
        (
            quota("", "limits.cpu: 7", "limits.cpu: 2"),
            2,
            "quota `team` leaves too little limits.cpu",
        ),
        (
            quota("", "cpu: 5", "cpu: 2"),
            3,
            "quota `team` leaves too little cpu",
        ),
        (
            quota("scopes: [NotTerminating]", "pods: 0", "pods: 0"),
            0,
            "quota `team` leaves too little pods",
        ),
        (
            quota("scopes: [BestEffort]", "pods: 0", "pods: 0"),
            8,
            "1 Insufficient cpu",
        ),
        (
            quota("", "services: 0", "services: 0"),
            8,
            "1 Insufficient cpu",
        ),
    ] {
        let (found, told) = told(&pod, &nodes, &[], &[it]);
        assert_eq!(found, replicas, "{short}");
        assert!(told.ends_with(short), "{told}");
    }
}
