//! The pod that judges the answers of a revision.

use chandler_crds::names::{containers, labels, mounts, suites};
use chandler_crds::spec::Evaluation;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, KeyToPath, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};

use super::job::Judgement;
use super::pod::small;
use super::{Blueprint, security};

/// The argument that says what is asked.
pub(crate) const EVALUATIONS: &str = "--evaluations";

impl Blueprint<'_> {
    /// It has no rights on the API, no credentials and no devices: it asks replicas by their addresses, and reads the suites.
    pub(super) fn evaluator_pod(&self, revision: &str, asked: &Judgement<'_>) -> PodTemplateSpec {
        let evaluations = asked.evaluations.iter().enumerate();
        let container = Container {
            name: containers::EVALUATE.to_owned(),
            image: Some(asked.image.to_owned()),
            args: Some(arguments(asked)),
            resources: Some(small()),
            volume_mounts: Some(
                evaluations
                    .clone()
                    .map(|(number, _)| mount(number))
                    .collect(),
            ),
            security_context: Some(security::of_container()),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Container::default()
        };
        let spec = PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(security::of_pod()),
            containers: vec![container],
            volumes: Some(evaluations.map(|(number, it)| volume(number, it)).collect()),
            restart_policy: Some("Never".to_owned()),
            ..PodSpec::default()
        };
        self.template(revision, labels::EVALUATOR, spec)
    }
}

fn arguments(asked: &Judgement<'_>) -> Vec<String> {
    // Plain data serialises.
    let evaluations = serde_json::to_string(asked.evaluations).unwrap_or_default();
    let flags = [
        ("--canary", format!("http://{}", asked.canary)),
        ("--stable", format!("http://{}", asked.stable)),
        (EVALUATIONS, evaluations),
        ("--suites", mounts::SUITES.to_owned()),
        ("--report", mounts::TERMINATION_LOG.to_owned()),
    ];
    let vectors = asked.embeddings.iter();
    let vectors =
        vectors.map(|(model, replica)| ("--embeddings", format!("{model}=http://{replica}")));
    let flags = flags.into_iter().chain(vectors);
    let flags = flags.flat_map(|(flag, value)| [flag.to_owned(), value]);
    std::iter::once("judge".to_owned()).chain(flags).collect()
}

fn name(number: usize) -> String {
    format!("suite-{number}")
}

fn mount(number: usize) -> VolumeMount {
    VolumeMount {
        name: name(number),
        mount_path: format!("{}/{number}", mounts::SUITES),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// A ConfigMap that lacks the key keeps the pod from starting, as one that is not there does.
fn volume(number: usize, evaluation: &Evaluation) -> Volume {
    let suite = &evaluation.suite_ref;
    let key = suite.key.as_deref().unwrap_or(suites::KEY);
    let item = KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        ..KeyToPath::default()
    };
    Volume {
        name: name(number),
        config_map: Some(ConfigMapVolumeSource {
            name: suite.name.clone(),
            items: Some(vec![item]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}
