//! Whose an object is. Labels can be written by anyone; the controller reference decides.

use std::borrow::Cow;

use chandler_crds::names::{KIND, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::error::WorldError;

/// A model as its objects refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: String,
}

impl Owner {
    /// Whether the object is this model's.
    pub(super) fn has(&self, object: &ObjectMeta) -> bool {
        controller(object).is_some_and(|owner| owner.uid == self.uid)
    }

    /// What picks the pods of a revision that do one thing.
    pub(super) fn pods(&self, revision: &str, component: &str) -> String {
        let Self { name, .. } = self;
        let (model, of) = (labels::MODEL, labels::REVISION);
        format!(
            "{model}={name},{of}={revision},{}={component}",
            labels::COMPONENT
        )
    }

    /// Makes sure that an object which is needed under its name is this model's.
    ///
    /// # Errors
    /// It is someone else's.
    pub(super) fn claim(&self, kind: Cow<'_, str>, object: &ObjectMeta) -> Result<(), WorldError> {
        if self.has(object) {
            return Ok(());
        }
        let name = object.name.clone().unwrap_or_default();
        let holder = controller(object);
        if holder.is_some_and(|owner| owner.kind == KIND && owner.name == self.name) {
            // Of a resource that was deleted and made again: the garbage collector takes it.
            let message = format!("{kind} `{name}` of this resource's former self still goes");
            return Err(WorldError::Conflict(message));
        }
        let holder = holder.map_or_else(
            || "nobody".to_owned(),
            |owner| format!("{} `{}`", owner.kind, owner.name),
        );
        Err(WorldError::NameTaken {
            kind: kind.into_owned(),
            name,
            holder,
        })
    }
}

/// What picks the replicas of a model.
pub(super) fn replicas_of(model: &str) -> String {
    format!(
        "{}={model},{}={}",
        labels::MODEL,
        labels::COMPONENT,
        labels::SERVER
    )
}

/// The owner that controls an object.
pub(super) fn controller(object: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// A label of an object.
pub(super) fn label<'a>(object: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let labels = object.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}
