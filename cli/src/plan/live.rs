//! What a cluster's status tells that a plan rests on.

use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_crds::status::RevisionStatus;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use chandler_operator::render::{Site, with_default_image};

/// The object as the operator would take it: with the status that there is, and with the image of the newest
/// revision where it names none, for that is the operator's. The image is part of the revision's name.
pub(super) fn taken(
    object: ModelDeployment,
    status: Option<&ModelDeploymentStatus>,
) -> ModelDeployment {
    let revisions = status.into_iter().flat_map(|status| &status.revisions);
    let newest = revisions.max_by_key(|revision| revision.created_at.0);
    let image = newest.and_then(|newest| newest.template.as_ref()?.server.as_ref()?.image.clone());
    let mut object = match image {
        Some(server_image) => {
            let site = Site {
                server_image,
                ..Site::default()
            };
            with_default_image(object, &site)
        }
        None => object,
    };
    object.status = status.cloned();
    object
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
