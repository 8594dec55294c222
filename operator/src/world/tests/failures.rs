//! What a pod's status comes to in words.

use chandler_core::snapshot::FailureSeen;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;

use crate::world::failure::of_revision;

/// A pod of template `t1`, made at second 1, with this status.
fn pod(status: &str) -> Pod {
    named("p", "t1", 1, status)
}

fn named(name: &str, template: &str, second: u8, status: &str) -> Pod {
    let text = format!(
        "metadata:
  name: {name}
  labels: {{pod-template-hash: {template}}}
  creationTimestamp: '2026-01-01T00:00:0{second}Z'
spec:
  volumes:
  - {{name: credentials, secret: {{secretName: hub-token}}}}
  - {{name: models, persistentVolumeClaim: {{claimName: cache}}}}
  containers:
  - {{name: server, resources: {{limits: {{memory: 512Mi}}}}}}
status: {status}
"
    );
    serde_yaml::from_str(&text).unwrap()
}

/// Status of a pod whose container of this name is in these states.
fn container(list: &str, name: &str, restarts: u8, states: &str) -> String {
    format!(
        "{{{list}: [{{name: {name}, image: example.com/server:1, imageID: i, ready: false, \
         restartCount: {restarts}, {states}}}]}}"
    )
}

fn server(restarts: u8, states: &str) -> Pod {
    pod(&container("containerStatuses", "server", restarts, states))
}

fn deployment(status: &str) -> Deployment {
    let text = format!("spec: {{replicas: 2, selector: {{}}, template: {{}}}}\nstatus: {status}");
    serde_yaml::from_str(&text).unwrap()
}

fn seen(pods: &[Pod]) -> Option<FailureSeen> {
    of_revision(&deployment("{}"), pods)
}

/// Reason, and whether it may pass, of a pod whose message holds `words`.
fn told(pod: Pod, words: &str) -> (String, bool) {
    let failure = seen(&[pod]).unwrap();
    assert!(failure.message.contains(words), "{}", failure.message);
    (failure.reason, failure.transient)
}

const UNSCHEDULABLE: &str = "{conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable,
  message: '0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available'}]}";

#[test]
fn a_pod_without_a_node_quotes_the_scheduler() {
    let failure = seen(&[pod(UNSCHEDULABLE)]).unwrap();
    assert_eq!(failure.reason, "Unschedulable");
    let words = "a pod finds no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
    assert_eq!(failure.message, words);
    assert!(failure.transient);
}

#[test]
fn a_missing_claim_is_no_lack_of_room() {
    let status = r#"{conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable,
      message: '0/1 nodes are available: persistentvolumeclaim "weights" not found.'}]}"#;
    let expected = ("ClaimNotFound".to_owned(), true);
    assert_eq!(told(pod(status), "\"weights\""), expected);
}

#[test]
fn an_image_that_is_not_there_is_told_with_the_registrys_words() {
    for (reason, message, transient) in [
        ("ErrImagePull", "rpc error: manifest unknown", true),
        (
            "ImagePullBackOff",
            "Back-off pulling: ErrImagePull: rpc error: manifest unknown",
            true,
        ),
        ("InvalidImageName", "rpc error: manifest unknown", false),
    ] {
        let state = format!("state: {{waiting: {{reason: {reason}, message: '{message}'}}}}");
        let words = "image `example.com/server:1` of container server can't be had: rpc error: manifest unknown";
        assert_eq!(
            told(server(0, &state), words),
            (reason.to_owned(), transient)
        );
    }
}

#[test]
fn a_configuration_that_can_not_be_met_is_told() {
    let state =
        "state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"x\" not found'}}";
    let expected = ("CreateContainerConfigError".to_owned(), true);
    assert_eq!(told(server(0, state), "secret \"x\" not found"), expected);
}

const REPORT: &str = r#"'{"event":"failed","reason":"HashMismatch","message":"model.gguf differs","transient":false}'"#;

#[test]
fn a_container_that_fetches_tells_why_it_could_not() {
    let states = format!(
        "state: {{waiting: {{reason: CrashLoopBackOff}}}}, \
         lastState: {{terminated: {{exitCode: 65, message: {REPORT}}}}}"
    );
    let pod = pod(&container("initContainerStatuses", "fetch", 4, &states));
    let failure = seen(std::slice::from_ref(&pod)).unwrap();
    assert_eq!(failure.attempts, 4);
    assert_eq!(
        told(pod, "model.gguf differs"),
        ("HashMismatch".to_owned(), false)
    );
}

#[test]
fn a_failure_is_told_until_the_replica_is_ready_again() {
    let states =
        "state: {running: {}}, lastState: {terminated: {exitCode: 1, message: 'no room left'}}";
    assert_eq!(
        told(server(1, states), "exit code 1: no room left").0,
        "ContainerFailed"
    );
    let mut ready = server(1, states);
    let conditions = serde_yaml::from_str("[{type: Ready, status: 'True'}]").unwrap();
    ready.status.as_mut().unwrap().conditions = Some(conditions);
    assert_eq!(seen(&[ready]), None);
}

#[test]
fn a_container_that_fetched_in_the_end_is_no_failure() {
    let states = "state: {terminated: {exitCode: 0}}, lastState: {terminated: {exitCode: 69}}";
    assert_eq!(
        seen(&[pod(&container("initContainerStatuses", "fetch", 1, states))]),
        None
    );
}

#[test]
fn a_kill_for_memory_again_and_again_needs_a_person() {
    let states = "state: {waiting: {reason: CrashLoopBackOff}}, \
                  lastState: {terminated: {exitCode: 137, reason: OOMKilled}}";
    assert_eq!(
        told(server(1, states), "limit of 512Mi"),
        ("OOMKilled".to_owned(), true)
    );
    assert_eq!(
        told(server(3, states), "limit of 512Mi"),
        ("OOMKilled".to_owned(), false)
    );
}

#[test]
fn a_pod_that_waits_for_its_mounts_names_them() {
    let status = "{conditions: [{type: PodScheduled, status: 'True'}, {type: PodReadyToStartContainers, status: 'False'}]}";
    let words =
        "mount Secret `hub-token` and PersistentVolumeClaim `cache`: create what is missing";
    assert_eq!(
        told(pod(status), words),
        ("WaitingForVolumes".to_owned(), true)
    );
    let folder = "{name: models, hostPath: {path: /cache}}";
    let mut cached = pod(status);
    let spec = cached.spec.as_mut().unwrap();
    spec.node_name = Some("n1".to_owned());
    spec.volumes = Some(vec![serde_yaml::from_str(folder).unwrap()]);
    let words = "mount folder `/cache` of node `n1`: the installation's node cache";
    assert_eq!(told(cached, words).0, "WaitingForVolumes");
    let mut plain = pod(status);
    plain.spec.as_mut().unwrap().volumes = None;
    assert_eq!(seen(&[plain]), None);
}

#[test]
fn pods_that_the_server_refuses_are_told_while_some_are_missing() {
    let quota = deployment(
        "{conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate,
      message: 'pods \"x\" is forbidden: exceeded quota: small'}]}",
    );
    let failure = of_revision(&quota, &[]).unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.transient),
        ("QuotaExceeded", true)
    );
    let both = [pod("{}"), pod("{}")];
    assert_eq!(of_revision(&quota, &both), None);
    let security = deployment("{conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate,
      message: 'pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": hostPath volumes'}]}");
    let failure = of_revision(&security, &[]).unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.transient),
        ("PodSecurityRefused", false)
    );
    let words = "forbids cache.kind `node`, a hostPath: write `emptyDir`";
    assert!(failure.message.contains(words), "{}", failure.message);
}

#[test]
fn a_pod_that_its_node_gave_up_is_told_last() {
    let evicted = "{phase: Failed, reason: Evicted, message: 'low on ephemeral-storage'}";
    let expected = ("Evicted".to_owned(), true);
    assert_eq!(told(pod(evicted), "low on ephemeral-storage"), expected);
    let failure = seen(&[pod(evicted), pod(UNSCHEDULABLE)]).unwrap();
    assert_eq!(failure.reason, "Unschedulable");
}

#[test]
fn the_newest_template_is_told_first_and_the_worst_of_it() {
    let crashed = container(
        "containerStatuses",
        "server",
        1,
        "state: {terminated: {exitCode: 1}}",
    );
    let old = named("a", "t1", 1, &crashed);
    let new = named("b", "t2", 2, UNSCHEDULABLE);
    assert_eq!(
        seen(&[old.clone(), new.clone()]).unwrap().reason,
        "Unschedulable"
    );
    let newer = named("c", "t2", 3, &crashed);
    assert_eq!(seen(&[old, new, newer]).unwrap().reason, "ContainerFailed");
}

#[test]
fn pods_that_load_or_leave_are_no_failure() {
    assert_eq!(seen(&[server(0, "state: {running: {}}")]), None);
    let mut leaving = pod(UNSCHEDULABLE);
    let at = leaving.metadata.creation_timestamp.clone();
    leaving.metadata.deletion_timestamp = at;
    assert_eq!(seen(&[leaving]), None);
    assert_eq!(seen(&[]), None);
}
