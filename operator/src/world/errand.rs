//! Jobs whose pod's last words are an answer.

use chandler_core::world::Outcome;
use chandler_crds::report::Report;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use super::ClusterModel;
use super::error::WorldError;
use super::owner::controller;
use super::{failure, words};

/// What a Job is for, and how its answer is read.
#[derive(Debug)]
pub(super) struct Errand {
    /// What its pods are labelled with.
    pub(super) component: &'static str,
    /// The container that answers.
    pub(super) container: &'static str,
    /// The answer, if the report is one.
    pub(super) found: fn(Report) -> Option<Outcome>,
    /// What a failure of the Job means.
    pub(super) undone: &'static str,
    /// Reason and message where the container ended well and its answer can't be read.
    pub(super) unreadable: (&'static str, &'static str),
}

/// How far a Job is.
#[derive(Debug, PartialEq)]
enum Stage {
    /// It goes on by itself.
    Running(Option<WorldError>),
    /// It has the answer.
    Found(Outcome),
    /// It ended without.
    Failed(WorldError),
    /// It ended, and its answer is lost.
    Lost,
}

impl ClusterModel {
    /// What a Job has come to; `None` if its answer is lost and it is gone. One that failed is gone too, and one that
    /// has the answer stays: an operator that ends before this is in status reads it again.
    pub(super) async fn come_to(
        &self,
        errand: &Errand,
        job: &Job,
        revision: &str,
    ) -> Result<Option<Outcome>, WorldError> {
        let selector = self.owner.pods(revision, errand.component);
        let mut pods: Vec<Pod> = self.cluster.list(&selector).await?;
        pods.retain(|pod| {
            let owner = controller(&pod.metadata).map(|owner| &owner.uid);
            owner.is_some() && owner == job.metadata.uid.as_ref()
        });
        match errand.stage(job, &pods) {
            Stage::Running(blocked) => Ok(Some(Outcome::Pending {
                blocked: blocked.map(Into::into),
            })),
            Stage::Found(found) => Ok(Some(found)),
            Stage::Failed(error) => {
                self.cluster.delete(job).await?;
                Err(error)
            }
            Stage::Lost => {
                self.cluster.delete(job).await?;
                Ok(None)
            }
        }
    }
}

impl Errand {
    fn stage(&self, job: &Job, pods: &[Pod]) -> Stage {
        if let Some(end) = pods.iter().find_map(|pod| self.ended(pod)) {
            return self.answer(end, pods);
        }
        if let Some(condition) = holds(job, &["Failed", "FailureTarget"]) {
            let why = pods.iter().find_map(failure::of_one).map_or_else(
                || condition.message.clone().unwrap_or_default(),
                |seen| seen.message,
            );
            let reason = condition.reason.as_deref().unwrap_or("JobFailed");
            return Stage::Failed(WorldError::Worker {
                reason: reason.to_owned(),
                message: format!("{}: {why}", self.undone),
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
    fn answer(&self, end: &ContainerStateTerminated, pods: &[Pod]) -> Stage {
        let text = end.message.as_deref().unwrap_or_default();
        if end.exit_code != 0 {
            let limit = pods
                .iter()
                .find_map(|pod| words::memory_limit(pod, self.container));
            let told = words::of_end(self.container, end, limit);
            return Stage::Failed(WorldError::Worker {
                reason: told.reason,
                message: told.message,
                transient: told.transient,
            });
        }
        match Report::parse(text).and_then(self.found) {
            Some(found) => Stage::Found(found),
            None => {
                let (reason, message) = self.unreadable;
                Stage::Failed(WorldError::Worker {
                    reason: reason.to_owned(),
                    message: message.to_owned(),
                    transient: false,
                })
            }
        }
    }

    fn ended<'a>(&self, pod: &'a Pod) -> Option<&'a ContainerStateTerminated> {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let mut statuses = statuses.iter();
        let status = statuses.find(|status| status.name == self.container)?;
        status.state.as_ref()?.terminated.as_ref()
    }
}

fn holds<'a>(job: &'a Job, kinds: &[&str]) -> Option<&'a JobCondition> {
    let status = job.status.as_ref()?;
    let mut all = status.conditions.iter().flatten();
    all.find(|one| one.status == "True" && kinds.contains(&one.type_.as_str()))
}
