//! Whole objects as they are rendered, and what must hold for every pod.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use chandler_core::snapshot::Weights;
use chandler_core::validate::validate;
use chandler_core::worker::WorkerSpec;
use chandler_crds::spec::Evaluation;
use chandler_crds::{LockedFile, ModelLock};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::*;

const CLAIM: &str = "
metadata: {name: embeddings, namespace: models, uid: u-1}
spec:
  model: {source: 'pvc://weights/minilm', task: embedding}
";

const HUB: &str = "
metadata: {name: chat, namespace: models, uid: u-2}
spec:
  model:
    source: hf://org/name/model.gguf
    revision: v1
    credentialsSecretRef: {name: hub-token}
    cache: {kind: node}
  server:
    drainSeconds: 120
    resources: {requests: {cpu: '2', memory: 4Gi}, limits: {memory: 6Gi}}
";

const GPU: &str = "
metadata: {name: big, namespace: models, uid: u-3}
spec:
  model:
    source: s3://bucket/prefix
    servedName: org/big
    maxModelLen: 8192
    cache: {kind: persistentVolumeClaim, claimName: cache}
  server:
    image: example.com/server:2
    device: cuda
    maxBatch: 32
    maxQueue: 64
    resources: {limits: {nvidia.com/gpu: '1', memory: 48Gi}}
    nodeSelector: {gpu: l40s}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    priorityClassName: serving
    runtimeClassName: nvidia
    serviceAccountName: models
";

fn site() -> Site {
    Site {
        server_image: "example.com/chandler-server:1".to_owned(),
        evaluator_image: Some("example.com/chandler:1".to_owned()),
        worker_env: BTreeMap::from([("HF_ENDPOINT".to_owned(), "http://hub.test".to_owned())]),
        node_cache: "/var/lib/chandler/models".to_owned(),
        sees_nodes: true,
    }
}

fn model(yaml: &str) -> ModelDeployment {
    let head = "apiVersion: chandler.dev/v1alpha1\nkind: ModelDeployment";
    let object = serde_yaml::from_str(&format!("{head}{yaml}")).unwrap();
    with_default_image(object, &site())
}

/// Name of the wanted revision, and what its replicas run.
fn wanted(object: &ModelDeployment) -> (String, WorkerSpec) {
    let valid = validate(object).unwrap();
    let lock = ModelLock {
        source: object.spec.model.source.clone(),
        commit: None,
        files: vec![LockedFile {
            path: "model.gguf".to_owned(),
            size: 3,
            sha256: "ab".repeat(32),
        }],
    };
    (valid.revision.clone(), valid.worker.spec(&lock))
}

fn deployment_of(yaml: &str) -> Deployment {
    let (object, site) = (model(yaml), site());
    let (revision, worker) = wanted(&object);
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    deployment(&blueprint, &revision, &worker, 2)
}

fn job_of(yaml: &str) -> Job {
    let (object, site) = (model(yaml), site());
    let (revision, _) = wanted(&object);
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    let question = Question {
        source: &object.spec.model.source,
        source_revision: object.spec.model.revision.as_deref(),
    };
    resolve_job(&blueprint, &revision, &question)
}

#[test]
fn a_model_on_a_claim() {
    insta::assert_yaml_snapshot!(deployment_of(CLAIM));
}

#[test]
fn a_model_of_a_hub_with_a_secret_and_a_node_cache() {
    insta::assert_yaml_snapshot!(deployment_of(HUB));
}

#[test]
fn a_model_on_a_gpu() {
    insta::assert_yaml_snapshot!(deployment_of(GPU));
}

#[test]
fn a_job_that_resolves_a_hub() {
    insta::assert_yaml_snapshot!(job_of(HUB));
}

#[test]
fn a_job_that_judges_answers() {
    let (object, site) = (model(HUB), site());
    let (revision, _) = wanted(&object);
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    let evaluations = r#"[
        {"name": "facts", "suiteRef": {"name": "facts"}, "metric": "contains", "min": 0.6},
        {"name": "style", "suiteRef": {"name": "all", "key": "style"}, "metric": "chrf", "maxRegression": 2.0},
        {"name": "meaning", "suiteRef": {"name": "facts"}, "metric": "embeddingSimilarity", "min": 0.5,
            "embeddingModelRef": {"name": "vectors"}}
    ]"#;
    let evaluations: Vec<Evaluation> = serde_json::from_str(evaluations).unwrap();
    let judgement = Judgement {
        image: site.evaluator_image.as_deref().unwrap(),
        canary: "10.0.0.2:8000".parse().unwrap(),
        stable: "[fd00::1]:8000".parse().unwrap(),
        evaluations: &evaluations,
        embeddings: &[("vectors".to_owned(), "10.0.0.3:8000".parse().unwrap())],
    };
    insta::assert_yaml_snapshot!(judge_job(&blueprint, &revision, &judgement));
}

#[test]
fn services() {
    let (object, site) = (model(CLAIM), site());
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    let weights = Weights::from([("aaaa".to_owned(), 30), ("bbbb".to_owned(), 70)]);
    let both = (
        headless_service(&blueprint, "bbbb"),
        stable_service(&blueprint, &weights),
    );
    insta::assert_yaml_snapshot!(both);
}

#[test]
fn a_disruption_budget() {
    let (object, site) = (model(CLAIM), site());
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    insta::assert_yaml_snapshot!(disruption_budget(&blueprint, "bbbb"));
}

#[test]
fn weights_are_read_back_and_garbage_is_no_traffic() {
    let (object, site) = (model(CLAIM), site());
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    let weights = Weights::from([("aaaa".to_owned(), 100)]);
    let mut service = stable_service(&blueprint, &weights);
    assert_eq!(weights_of(&service), weights);
    for garbage in ["", "no", "[1]", "{\"aaaa\": -1}", "{\"aaaa\": 1e99}"] {
        let annotations = service.metadata.annotations.as_mut().unwrap();
        for text in annotations.values_mut() {
            garbage.clone_into(text);
        }
        assert_eq!(weights_of(&service), Weights::new(), "{garbage}");
    }
    service.metadata.annotations = None;
    assert_eq!(weights_of(&service), Weights::new());
}

#[test]
fn without_traffic_nothing_is_behind_the_stable_service() {
    let (object, site) = (model(CLAIM), site());
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    for weights in [Weights::new(), Weights::from([("aaaa".to_owned(), 0)])] {
        let selector = stable_service(&blueprint, &weights).spec.unwrap().selector;
        let revision = selector.unwrap()["chandler.dev/revision"].clone();
        assert_eq!(revision, "none");
    }
}

#[test]
fn the_image_is_part_of_the_revision() {
    let other = Site {
        server_image: "example.com/chandler-server:2".to_owned(),
        evaluator_image: Some("example.com/chandler:1".to_owned()),
        ..site()
    };
    let object: ModelDeployment = {
        let mut object = model(CLAIM);
        object.spec.server = None;
        object
    };
    let revision = |site: &Site| wanted(&with_default_image(object.clone(), site)).0;
    assert_ne!(revision(&site()), revision(&other));
    let own = wanted(&with_default_image(model(GPU), &other)).0;
    assert_eq!(own, wanted(&model(GPU)).0);
}

#[test]
fn a_container_that_fetches_takes_no_device() {
    let pod = deployment_of(GPU).spec.template.spec.unwrap();
    let fetch = &pod.init_containers.unwrap()[0];
    let limits = fetch.resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits.keys().collect::<Vec<_>>(), ["memory"]);
}

#[test]
fn the_time_to_stop_holds_the_wait_and_the_drain() {
    let pod = deployment_of(HUB).spec.template.spec.unwrap();
    let stop = pod.containers[0].lifecycle.clone().unwrap().pre_stop;
    let sleep = stop.unwrap().sleep.unwrap().seconds;
    assert!(pod.termination_grace_period_seconds.unwrap() > sleep + 120);
}

#[test]
fn the_pod_that_resolves_is_behind_no_service() {
    let job = job_of(CLAIM).spec.unwrap().template.metadata.unwrap();
    let (object, site) = (model(CLAIM), site());
    let blueprint = Blueprint {
        object: &object,
        site: &site,
    };
    let (revision, _) = wanted(&object);
    let selector = headless_service(&blueprint, &revision).spec.unwrap();
    let (labels, selector) = (job.labels.unwrap(), selector.selector.unwrap());
    assert!(
        selector
            .iter()
            .any(|(key, value)| labels.get(key) != Some(value))
    );
}

#[test]
fn every_pod_keeps_the_restricted_standard() {
    for yaml in [CLAIM, HUB, GPU] {
        let serving = deployment_of(yaml).spec.template.spec.unwrap();
        let resolving = job_of(yaml).spec.unwrap().template.spec.unwrap();
        // A folder of the node is what `cache.kind: node` asks for, and no pod may have one under
        // this standard. The pod that resolves does without it.
        let allowed: &[&str] = match yaml {
            HUB => &["volume models is of a kind not allowed"],
            _ => &[],
        };
        assert_eq!(broken_rules(&serving), allowed);
        assert_eq!(broken_rules(&resolving), [] as [&str; 0]);
    }
}

#[test]
fn a_careless_pod_breaks_the_restricted_standard() {
    let careless = PodSpec {
        containers: vec![Container::default()],
        host_network: Some(true),
        ..PodSpec::default()
    };
    assert_eq!(broken_rules(&careless).len(), 5);
}

/// The rules of Kubernetes' *restricted* standard that a pod breaks.
fn broken_rules(pod: &PodSpec) -> Vec<String> {
    let mut broken = Vec::new();
    if [pod.host_network, pod.host_pid, pod.host_ipc].contains(&Some(true)) {
        broken.push("shares a namespace of its node".to_owned());
    }
    let security = pod.security_context.clone().unwrap_or_default();
    if security.run_as_non_root != Some(true) || security.run_as_user.is_none_or(|user| user == 0) {
        broken.push("may run as root".to_owned());
    }
    let seccomp = security.seccomp_profile.map(|profile| profile.type_);
    if seccomp.as_deref() != Some("RuntimeDefault") {
        broken.push("has no seccomp profile".to_owned());
    }
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    for container in containers {
        let security = container.security_context.clone().unwrap_or_default();
        if security.allow_privilege_escalation != Some(false) || security.privileged == Some(true) {
            broken.push(format!("container {} may gain privileges", container.name));
        }
        let capabilities = security.capabilities.unwrap_or_default();
        if capabilities.drop != Some(vec!["ALL".to_owned()]) || capabilities.add.is_some() {
            broken.push(format!("container {} keeps capabilities", container.name));
        }
    }
    for volume in pod.volumes.iter().flatten() {
        let allowed = volume.empty_dir.is_some()
            || volume.secret.is_some()
            || volume.persistent_volume_claim.is_some();
        if !allowed {
            broken.push(format!("volume {} is of a kind not allowed", volume.name));
        }
    }
    broken
}
