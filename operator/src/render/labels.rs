//! Labels and selectors.

use std::collections::BTreeMap;

use chandler_crds::names::{FIELD_MANAGER, labels, programs};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

type Labels = BTreeMap<String, String>;

/// Labels of an object that belongs to a model as a whole.
#[must_use]
pub fn of_model(model: &str, component: &str) -> Labels {
    let pairs = [
        (labels::NAME, programs::SERVER),
        (labels::INSTANCE, model),
        (labels::MANAGED_BY, FIELD_MANAGER),
        (labels::COMPONENT, component),
        (labels::MODEL, model),
    ];
    owned(&pairs)
}

/// Labels of an object that belongs to one revision.
#[must_use]
pub fn of_revision(model: &str, revision: &str, component: &str) -> Labels {
    let mut all = of_model(model, component);
    all.insert(labels::REVISION.to_owned(), revision.to_owned());
    all
}

/// What picks a revision's replicas. The component is part of it, or the pod that resolves the
/// revision's source would be sent requests. A Deployment's selector can't be changed: these
/// three labels stay what they are.
pub(super) fn replicas(model: &str, revision: &str) -> Labels {
    owned(&[
        (labels::MODEL, model),
        (labels::REVISION, revision),
        (labels::COMPONENT, labels::SERVER),
    ])
}

/// The same as a selector of its own type.
pub(super) fn replica_selector(model: &str, revision: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(replicas(model, revision)),
        match_expressions: None,
    }
}

fn owned(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
