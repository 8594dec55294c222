//! The Jobs of a revision. One finds out which files its source stands for; it runs where replicas may run, with
//! their credentials and claims, so that the operator itself needs none. Another judges its answers.

use std::net::SocketAddr;

use chandler_crds::names::labels;
use chandler_crds::spec::Evaluation;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::{Blueprint, labels as render_labels};

/// Seconds that it may take: a claim's files are read whole to know their digests.
const TIME_LIMIT: i64 = 3600;
/// Seconds that its answer stays to be read, unless its revision is made before. An operator that
/// was away longer asks again.
const KEPT: i32 = 600;

/// What is to be resolved.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The source, as the spec has it.
    pub source: &'a str,
    /// Branch, tag, commit or digest, as the spec has it.
    pub source_revision: Option<&'a str>,
}

/// The Job that resolves the source of `revision`.
#[must_use]
pub fn resolve_job(blueprint: &Blueprint<'_>, revision: &str, question: &Question<'_>) -> Job {
    let pod = blueprint.resolver_pod(revision, question);
    job(blueprint, revision, labels::RESOLVER, pod)
}

/// Whose answers are judged, and by what.
#[derive(Clone, Debug)]
pub struct Judgement<'a> {
    /// The image of the program that does it.
    pub image: &'a str,
    /// A replica of the revision that is judged.
    pub canary: SocketAddr,
    /// A replica of the one that it is compared with.
    pub stable: SocketAddr,
    /// What is asked, as the spec has it.
    pub evaluations: &'a [Evaluation],
    /// A replica of each model that makes vectors for them, by its name.
    pub embeddings: &'a [(String, SocketAddr)],
}

/// The Job that judges the answers of `revision`. It has the name of the one that resolved its source, which is gone
/// once there are replicas to be asked.
#[must_use]
pub fn judge_job(blueprint: &Blueprint<'_>, revision: &str, judgement: &Judgement<'_>) -> Job {
    let pod = blueprint.evaluator_pod(revision, judgement);
    job(blueprint, revision, labels::EVALUATOR, pod)
}

fn job(blueprint: &Blueprint<'_>, revision: &str, component: &str, pod: PodTemplateSpec) -> Job {
    let labels = render_labels::of_revision(blueprint.name(), revision, component);
    Job {
        metadata: blueprint.metadata(blueprint.revision_name(revision), labels),
        spec: Some(JobSpec {
            // When to try again is decided with everything else, not by the Job.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(TIME_LIMIT),
            ttl_seconds_after_finished: Some(KEPT),
            template: pod,
            ..JobSpec::default()
        }),
        status: None,
    }
}
