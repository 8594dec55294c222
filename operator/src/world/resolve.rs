//! Resolving a source by a Job: its pod's last words are the answer.

use chandler_core::world::Outcome;
use chandler_crds::names::{containers, labels};
use chandler_crds::report::Report;
use k8s_openapi::api::batch::v1::Job;

use super::ClusterModel;
use super::errand::Errand;
use super::error::WorldError;
use crate::render::{Question, resolve_job};

type Result<T> = std::result::Result<T, WorldError>;

/// What stands before the path in a source of one machine.
const FILE_SCHEME: &str = "file://";

/// The Job that finds the files of a source.
const RESOLVER: Errand = Errand {
    component: labels::RESOLVER,
    container: containers::RESOLVE,
    found: |report| match report {
        Report::Resolved { lock } => Some(Outcome::Resolved(lock)),
        _ => None,
    },
    undone: "the source was not resolved",
    unreadable: (
        "ResolveUnreadable",
        "what the resolver found can't be read: spec.server.image must be a server image of this \
         operator's version",
    ),
};

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
        if let Some(outcome) = self.come_to(&RESOLVER, &job, revision).await? {
            return Ok(outcome);
        }
        self.cluster.create(&new).await?;
        Ok(Outcome::Pending { blocked: None })
    }
}
