//! Resolving a source by a Job: its pod's last words are the answer.

use chandler_core::world::Outcome;
use chandler_crds::ModelLock;
use chandler_crds::names::{containers, labels};
use chandler_crds::report::Report;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use super::ClusterModel;
use super::error::WorldError;
use super::owner::controller;
use super::{failure, words};
use crate::render::{Question, resolve_job};

type Result<T> = std::result::Result<T, WorldError>;

/// What stands before the path in a source of one machine.
const FILE_SCHEME: &str = "file://";

/// How far a Job is.
#[derive(Debug, PartialEq)]
enum Stage {
    /// It goes on by itself.
    Running(Option<WorldError>),
    /// It found the files.
    Found(ModelLock),
    /// It ended without.
    Failed(WorldError),
    /// It ended, and what it found is lost.
    Lost,
}

impl ClusterModel {
    pub(super) async fn resolve(
        &self,
        revision: &str,
        source: &str,
        source_revision: Option<&str>,
    ) -> Result<Outcome> {
        self.wanting(revision)?;
        if source.starts_with(FILE_SCHEME) {
            let source_text = source.to_owned();
            return Err(WorldError::SourceOfOneMachine { source_text });
        }
        let blueprint = self.blueprint();
        let question = Question {
            source,
            source_revision,
        };
        let new = resolve_job(&blueprint, revision, &question);
        let Some(job) = self.own::<Job>(&blueprint.revision_name(revision)).await? else {
            self.cluster.create(&new).await?;
            return Ok(Outcome::Pending { blocked: None });
        };
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Pending { blocked: None });
        }
        match stage(&job, &self.pods_of(&job, revision).await?) {
            Stage::Running(blocked) => Ok(Outcome::Pending {
                blocked: blocked.map(Into::into),
            }),
            // It stays until its revision is made: an operator that ends before the lock is in
            // status reads it again.
            Stage::Found(lock) => Ok(Outcome::Resolved(lock)),
            Stage::Failed(error) => {
                self.cluster.delete(&job).await?;
                Err(error)
            }
            Stage::Lost => {
                self.cluster.delete(&job).await?;
                self.cluster.create(&new).await?;
                Ok(Outcome::Pending { blocked: None })
            }
        }
    }

    async fn pods_of(&self, job: &Job, revision: &str) -> Result<Vec<Pod>> {
        let selector = self.owner.pods(revision, labels::RESOLVER);
        let mut pods: Vec<Pod> = self.cluster.list(&selector).await?;
        pods.retain(|pod| {
            let owner = controller(&pod.metadata).map(|owner| &owner.uid);
            owner.is_some() && owner == job.metadata.uid.as_ref()
        });
        Ok(pods)
    }
}

fn stage(job: &Job, pods: &[Pod]) -> Stage {
    if let Some(end) = pods.iter().find_map(ended) {
        return answer(end, pods);
    }
    if let Some(condition) = holds(job, &["Failed", "FailureTarget"]) {
        let why = pods.iter().find_map(failure::of_one).map_or_else(
            || condition.message.clone().unwrap_or_default(),
            |seen| seen.message,
        );
        let reason = condition.reason.as_deref().unwrap_or("JobFailed");
        return Stage::Failed(WorldError::Worker {
            reason: reason.to_owned(),
            message: format!("the source was not resolved: {why}"),
            transient: true,
        });
    }
    if holds(job, &["Complete", "SuccessCriteriaMet"]).is_some() {
        return Stage::Lost;
    }
    let blocked = pods.iter().find_map(failure::of_one);
    Stage::Running(blocked.map(|seen| WorldError::Worker {
        reason: seen.reason,
        message: seen.message,
        transient: seen.transient,
    }))
}

/// What the end of the container says.
fn answer(end: &ContainerStateTerminated, pods: &[Pod]) -> Stage {
    let text = end.message.as_deref().unwrap_or_default();
    if end.exit_code != 0 {
        let limit = pods
            .iter()
            .find_map(|pod| words::memory_limit(pod, containers::RESOLVE));
        let told = words::of_end(containers::RESOLVE, end, limit);
        return Stage::Failed(WorldError::Worker {
            reason: told.reason,
            message: told.message,
            transient: told.transient,
        });
    }
    match Report::parse(text) {
        Some(Report::Resolved { lock }) => Stage::Found(lock),
        _ => Stage::Failed(WorldError::Worker {
            reason: "ResolveUnreadable".to_owned(),
            message: "what the resolver found can't be read: spec.server.image must be a server \
                      image of this operator's version"
                .to_owned(),
            transient: false,
        }),
    }
}

fn ended(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let mut statuses = statuses.iter();
    let status = statuses.find(|status| status.name == containers::RESOLVE)?;
    status.state.as_ref()?.terminated.as_ref()
}

fn holds<'a>(job: &'a Job, kinds: &[&str]) -> Option<&'a JobCondition> {
    let status = job.status.as_ref()?;
    let mut all = status.conditions.iter().flatten();
    all.find(|one| one.status == "True" && kinds.contains(&one.type_.as_str()))
}
