//! API objects from a model's spec: pure functions and typed objects, no client.
//!
//! What is rendered here is also what drift is measured against, so equal arguments give equal
//! objects, and nothing is rendered that the API server would choose better by itself.

mod budget;
mod deployment;
mod evaluator;
mod job;
mod labels;
mod pod;
mod security;
mod service;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chandler_crds::ModelDeployment;
use chandler_crds::names::{GROUP, KIND, VERSION};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub use budget::disruption_budget;
pub use deployment::deployment;
pub(crate) use evaluator::EVALUATIONS;
pub use job::{Judgement, Question, judge_job, resolve_job};
pub use labels::{of_model, of_revision};
pub use service::{headless_service, stable_service, weights_of};

/// What an installation of the operator adds to every model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// The server image of models that name none.
    pub server_image: String,
    /// The image of the program that judges answers, if there is one.
    pub evaluator_image: Option<String>,
    /// Environment variables of every worker, such as the address of a model hub.
    pub worker_env: BTreeMap<String, String>,
    /// Folder of a node for `cache.kind: node`.
    pub node_cache: String,
    /// Whether nodes and the pods of all namespaces may be looked at.
    pub sees_nodes: bool,
}

/// The object with its image written out, so that the image is part of the revision's hash: an
/// operator that brings another server image makes a new revision, gated like any other.
#[must_use]
pub fn with_default_image(mut object: ModelDeployment, site: &Site) -> ModelDeployment {
    let server = object.spec.server.get_or_insert_default();
    server
        .image
        .get_or_insert_with(|| site.server_image.clone());
    object
}

/// A model as its objects are rendered from it.
#[derive(Clone, Copy, Debug)]
pub struct Blueprint<'a> {
    /// The model, its image written out.
    pub object: &'a ModelDeployment,
    /// The installation.
    pub site: &'a Site,
}

impl Blueprint<'_> {
    /// The model's name, and that of its stable Service.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Name of the objects of one of its revisions. A model's name has at most 50 characters, so
    /// this one fits a Service's 63.
    #[must_use]
    pub fn revision_name(&self, revision: &str) -> String {
        revision_name(self.name(), revision)
    }

    fn image(&self) -> Option<String> {
        let server = self.object.spec.server.as_ref();
        server.and_then(|server| server.image.clone())
    }

    fn metadata(&self, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.object.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    /// `blockOwnerDeletion` stays unset: where the API server enforces it, setting it needs the
    /// right to update the owner's finalizers, and nothing here has to be gone before the owner.
    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: KIND.to_owned(),
            name: self.name().to_owned(),
            uid: self.object.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}

/// Name of the objects of a model's revision.
#[must_use]
pub fn revision_name(model: &str, revision: &str) -> String {
    format!("{model}-{revision}")
}
