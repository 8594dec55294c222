//! Having the answers of a revision judged, by a Job.

use std::net::SocketAddr;

use chandler_core::world::Outcome;
use chandler_crds::names::{containers, labels};
use chandler_crds::report::Report;
use chandler_crds::spec::Evaluation;
use chandler_crds::status::EvaluationStatus;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::ClusterModel;
use super::errand::{Errand, Stage};
use super::error::WorldError;
use super::failure::youngest_first;
use super::observe::serves;
use super::perform::stale;
use super::probe::address;
use crate::render::{EVALUATIONS, Judgement, judge_job};

type Result<T> = std::result::Result<T, WorldError>;

/// The Job that judges answers.
const EVALUATOR: Errand<Vec<EvaluationStatus>> = Errand {
    component: labels::EVALUATOR,
    container: containers::EVALUATE,
    found: |report| match report {
        Report::Evaluated { evaluations } => Some(evaluations),
        _ => None,
    },
    undone: "the answers were not judged",
    unreadable: (
        "EvaluationUnreadable",
        "what the answers came to can't be read: the operator's --evaluator-image must be of its version",
    ),
};

impl ClusterModel {
    pub(super) async fn evaluate(
        &self,
        revision: &str,
        from: &str,
        evaluations: &[Evaluation],
    ) -> Result<Outcome> {
        let Some(image) = self.site.evaluator_image.as_deref() else {
            return Err(WorldError::Worker {
                reason: "EvaluationUnavailable".to_owned(),
                message: "this operator runs without --evaluator-image, so nobody judges answers: \
                          set evaluator.image of the chart, or remove spec.rollout.evaluation"
                    .to_owned(),
                transient: false,
            });
        };
        let asking = self.asking(revision)?;
        let blueprint = self.blueprint_of(&asking);
        let name = blueprint.revision_name(revision);
        let Some(job) = self.own::<Job>(&name).await? else {
            let judgement = Judgement {
                image,
                canary: self.replica(revision).await?,
                stable: self.replica(from).await?,
                evaluations,
            };
            let new = judge_job(&blueprint, revision, &judgement);
            self.cluster.create(&new).await?;
            return Ok(Outcome::Pending { blocked: None });
        };
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Pending { blocked: None });
        }
        if !asks(&job, evaluations) {
            self.cluster.delete(&job).await?;
            return Ok(Outcome::Pending { blocked: None });
        }
        match self.stage(&EVALUATOR, &job, revision).await? {
            Stage::Running(blocked) => Ok(Outcome::Pending {
                blocked: blocked.map(Into::into),
            }),
            // It stays until its time is over, or the revision goes: an operator that ends before this is in status
            // reads it again.
            Stage::Found(found) => Ok(Outcome::Evaluated(found)),
            Stage::Failed(error) => {
                self.cluster.delete(&job).await?;
                Err(error)
            }
            Stage::Lost => {
                self.cluster.delete(&job).await?;
                Ok(Outcome::Pending { blocked: None })
            }
        }
    }

    /// Where the youngest ready replica of a revision is asked.
    async fn replica(&self, revision: &str) -> Result<SocketAddr> {
        let selector = self.owner.pods(revision, labels::SERVER);
        let pods: Vec<Pod> = self.cluster.list(&selector).await?;
        let mut ready: Vec<&Pod> = pods.iter().filter(|pod| serves(pod)).collect();
        youngest_first(&mut ready);
        ready.into_iter().find_map(address).ok_or_else(|| {
            stale(format!(
                "no replica of revision {revision} is ready any more"
            ))
        })
    }
}

/// Whether a Job asks just this: the spec may have changed since it was made.
fn asks(job: &Job, evaluations: &[Evaluation]) -> bool {
    let pod = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let container = pod.and_then(|pod| pod.containers.first());
    let args = container.and_then(|container| container.args.as_deref());
    let mut pairs = args.unwrap_or_default().windows(2);
    let asked = pairs.find_map(|pair| (pair[0] == EVALUATIONS).then_some(pair[1].as_str()));
    let asked: Option<Vec<Evaluation>> = asked.and_then(|asked| serde_json::from_str(asked).ok());
    asked.is_some_and(|asked| asked == evaluations)
}
