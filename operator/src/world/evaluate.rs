//! Having the answers of a revision judged, by a Job.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use chandler_core::world::{Failure, Outcome};
use chandler_crds::names::{containers, labels};
use chandler_crds::report::Report;
use chandler_crds::spec::Evaluation;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::ClusterModel;
use super::errand::Errand;
use super::error::WorldError;
use super::observe::{replica_of, serves};
use super::owner::replicas_of;
use super::probe::address;
use crate::render::{EVALUATIONS, Judgement, judge_job};

type Result<T> = std::result::Result<T, WorldError>;

/// The Job that judges answers.
const EVALUATOR: Errand = Errand {
    component: labels::EVALUATOR,
    container: containers::EVALUATE,
    found: |report| match report {
        Report::Evaluated { evaluations } => Some(Outcome::Evaluated(evaluations)),
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
                canary: self.ready_replica(revision).await?.1,
                stable: self.ready_replica(from).await?.1,
                evaluations,
                embeddings: &self.vectors_for(evaluations).await?,
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
        let outcome = self.come_to(&EVALUATOR, &job, revision).await?;
        Ok(outcome.unwrap_or(Outcome::Pending { blocked: None }))
    }

    /// A ready replica of each model that makes vectors for these.
    async fn vectors_for(&self, evaluations: &[Evaluation]) -> Result<Vec<(String, SocketAddr)>> {
        let models: BTreeSet<&str> = evaluations
            .iter()
            .filter_map(Evaluation::embedding_model)
            .collect();
        let mut found = Vec::new();
        for model in models {
            let pods: Vec<Pod> = self.cluster.list(&replicas_of(model)).await?;
            let ready = pods.iter().filter(|pod| serves(pod));
            let ready = ready.filter(|pod| replica_of(model, &pod.metadata).is_some());
            let replica = ready.filter_map(address).next();
            let replica = replica.ok_or_else(|| unavailable(Failure::no_vectors(model)))?;
            found.push((model.to_owned(), replica));
        }
        Ok(found)
    }
}

fn unavailable(failure: Failure) -> WorldError {
    WorldError::Worker {
        reason: failure.reason,
        message: failure.message,
        transient: failure.transient,
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
