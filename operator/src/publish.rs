//! Writes the status.

use chandler_crds::names::FIELD_MANAGER;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::Serialize;

/// What publishing came to.
#[derive(Clone, Debug)]
pub enum Published {
    /// It stood there already; nothing was written.
    Unchanged,
    /// It was written; this is the object with it.
    Written(Box<ModelDeployment>),
}

/// A status as server-side apply takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Target<'a>,
    status: &'a ModelDeploymentStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    name: &'a str,
    namespace: &'a str,
    /// What was read must still be so: the status holds what decisions remember, and a leader that
    /// was replaced, or that read an object since made anew, must not write over it.
    resource_version: &'a str,
}

/// Whether the object as it was read has this status already.
#[must_use]
pub fn stands(object: &ModelDeployment, status: &ModelDeploymentStatus) -> bool {
    object.status.as_ref() == Some(status)
}

/// Writes `status` to the object as it was read; gives what the API server made of it.
///
/// # Errors
/// The API server refuses it, as it does if the object has changed, or can't be reached.
pub async fn publish(
    client: Client,
    object: &ModelDeployment,
    status: &ModelDeploymentStatus,
) -> kube::Result<ModelDeployment> {
    let metadata = object.meta();
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let applied = Applied {
        api_version: &ModelDeployment::api_version(&()),
        kind: &ModelDeployment::kind(&()),
        metadata: Target {
            name,
            namespace,
            resource_version: metadata.resource_version.as_deref().unwrap_or_default(),
        },
        status,
    };
    let api: Api<ModelDeployment> = Api::namespaced(client, namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(&applied))
        .await
}
