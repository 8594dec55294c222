//! What a cluster's status tells that a plan rests on.

use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_crds::status::RevisionStatus;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};

/// The image that the operator gives what names none is that of the newest revision; gives whether
/// there is one now. It is part of the revision's name.
pub(super) fn fill_image(
    object: &mut ModelDeployment,
    status: Option<&ModelDeploymentStatus>,
) -> bool {
    object.status = status.cloned();
    let revisions = status.into_iter().flat_map(|status| &status.revisions);
    let newest = revisions.max_by_key(|revision| revision.created_at.0);
    let image = newest.and_then(|newest| newest.template.as_ref()?.server.as_ref()?.image.clone());
    let server = object.spec.server.get_or_insert_default();
    if server.image.is_none() {
        server.image = image;
    }
    server.image.is_some()
}

/// The revisions as status tells them.
pub(super) fn snapshot(status: Option<&ModelDeploymentStatus>) -> Snapshot {
    let revisions = status.into_iter().flat_map(|status| &status.revisions);
    let there = revisions
        .clone()
        .filter(|it| it.replicas > 0 || it.weight > 0);
    let weights = revisions.filter(|it| it.weight > 0);
    Snapshot {
        revisions: there.map(|it| (it.name.clone(), seen(it))).collect(),
        weights: weights
            .map(|it| (it.name.clone(), count(it.weight)))
            .collect::<Weights>(),
        ..Snapshot::default()
    }
}

fn seen(revision: &RevisionStatus) -> RevisionSeen {
    RevisionSeen {
        desired: count(revision.replicas),
        ready: count(revision.ready_replicas),
        ..RevisionSeen::default()
    }
}

fn count(wire: i32) -> u32 {
    u32::try_from(wire).unwrap_or(0)
}
