//! Rendered objects, and what each of them must be like.

use super::pods;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

/// Kinds that an installation may hold. Any other is a slip, or needs a thought and its line here.
const KINDS: &[(&str, &str)] = &[
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Namespace"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
];
/// Kinds without a namespace.
const CLUSTER_WIDE: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
];

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Display for Id {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.kind, self.name)
    }
}

pub(super) type Objects = BTreeMap<Id, Value>;

/// The objects of a YAML stream.
///
/// # Errors
/// When it holds something else, or one object twice.
pub(super) fn parse(text: &str) -> Result<Objects> {
    let mut objects = Objects::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).context("not YAML")?;
        if value.is_null() {
            continue;
        }
        let id = id(&value).with_context(|| format!("no object: {value}"))?;
        let shown = id.to_string();
        if objects.insert(id, value).is_some() {
            bail!("{shown} is there twice");
        }
    }
    Ok(objects)
}

fn id(value: &Value) -> Option<Id> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = &value["metadata"];
    Some(Id {
        api_version: text(&value["apiVersion"])?,
        kind: text(&value["kind"])?,
        namespace: text(&metadata["namespace"]).unwrap_or_default(),
        name: text(&metadata["name"])?,
    })
}

/// What is wrong with objects, each by itself.
pub(super) fn check(objects: &Objects) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, object) in objects {
        let mut find = |finding: String| findings.push(format!("{id}: {finding}"));
        if !KINDS.contains(&(id.api_version.as_str(), id.kind.as_str())) {
            find(format!("{} is no kind of ours", id.api_version));
        }
        if CLUSTER_WIDE.contains(&id.kind.as_str()) != id.namespace.is_empty() {
            find(format!("its namespace is `{}`", id.namespace));
        }
        if object["metadata"]["labels"]["app.kubernetes.io/name"].is_null() {
            find("it has no label app.kubernetes.io/name".to_owned());
        }
        for finding in pods::check(object) {
            find(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_becomes_objects() {
        let text = "# A comment.\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n";
        let objects = parse(text).expect("good");
        assert_eq!(objects.len(), 1);
        assert!(parse(&format!("{text}{text}")).is_err(), "twice");
        assert!(parse("kind: Service\n").is_err(), "no name");
    }

    #[test]
    fn slips_are_told() {
        let text = "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}\n";
        let found = check(&parse(text).expect("good")).join("\n");
        for words in ["apps/v1beta1", "namespace", "label"] {
            assert!(found.contains(words), "{found}");
        }
    }
}
