//! The rights of a namespace's accounts, one verb on one resource each.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};

/// Stands for every group, resource or verb.
const ANY: &str = "*";

/// Roles and bindings, as kubectl lists them.
#[derive(Debug, Deserialize)]
pub(super) struct Objects {
    items: Vec<Object>,
}

/// A role or a binding: each has what the other lacks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    kind: String,
    metadata: Metadata,
    rules: Option<Vec<Rule>>,
    role_ref: Option<RoleRef>,
    subjects: Option<Vec<Subject>>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Subject {
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// Where a right holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Everywhere.
    Cluster,
    /// In one namespace.
    Namespace(String),
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => formatter.pad("cluster-wide"),
            Self::Namespace(name) => formatter.pad(name),
        }
    }
}

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    pub(super) account: String,
    pub(super) place: Place,
    pub(super) group: String,
    /// With the subresource, if one is meant.
    pub(super) resource: String,
    pub(super) verb: String,
    /// The objects that it is limited to; none means all.
    pub(super) names: Vec<String>,
}

impl Grant {
    /// The resource with its group, and the names that the right is limited to.
    pub(super) fn resource(&self) -> String {
        let mut shown = self.resource.clone();
        if !self.group.is_empty() {
            shown = format!("{shown}.{}", self.group);
        }
        match self.names.is_empty() {
            true => shown,
            false => format!("{shown} {}", self.names.join(" ")),
        }
    }
}

impl Display for Grant {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let (account, place) = (&self.account, &self.place);
        write!(
            formatter,
            "{account} may {} {} ({place})",
            self.verb,
            self.resource()
        )
    }
}

/// What accounts may do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// What can be weighed.
    pub(super) grants: BTreeSet<Grant>,
    /// What can't, each in one line.
    pub(super) refused: Vec<String>,
}

/// What the accounts of `namespace` are granted: to them by name, or to all of that namespace.
/// What every account of a cluster may do is Kubernetes' own affair.
pub(super) fn of(namespace: &str, objects: &Objects) -> Rights {
    let mut rights = Rights::default();
    for binding in &objects.items {
        for subject in binding.subjects.iter().flatten() {
            match whose(subject, namespace) {
                Whose::Account => bind(binding, &subject.name, objects, &mut rights),
                Whose::Everyone => rights.refused.push(format!(
                    "{} {} is for every account of {namespace}: name those that are meant",
                    binding.kind, binding.metadata.name
                )),
                Whose::Others => {}
            }
        }
    }
    rights
}

enum Whose {
    Account,
    Everyone,
    Others,
}

fn whose(subject: &Subject, namespace: &str) -> Whose {
    let group = format!("system:serviceaccounts:{namespace}");
    match subject.kind.as_str() {
        "ServiceAccount" if subject.namespace.as_deref() == Some(namespace) => Whose::Account,
        "Group" if subject.name == group => Whose::Everyone,
        _ => Whose::Others,
    }
}

fn bind(binding: &Object, account: &str, objects: &Objects, rights: &mut Rights) {
    let Some(wanted) = &binding.role_ref else {
        return;
    };
    let namespace = &binding.metadata.namespace;
    let is_meant = |object: &&Object| {
        object.kind == wanted.kind
            && object.metadata.name == wanted.name
            // A ClusterRole has no namespace, whatever its binding has.
            && (object.metadata.namespace.is_none() || object.metadata.namespace == *namespace)
    };
    let Some(role) = objects.items.iter().find(is_meant) else {
        let (kind, name) = (&binding.kind, &binding.metadata.name);
        let told = format!(
            "{kind} {name} is for the {} {}, which is not there",
            wanted.kind, wanted.name
        );
        rights.refused.push(told);
        return;
    };
    let place = match namespace {
        Some(name) => Place::Namespace(name.clone()),
        None => Place::Cluster,
    };
    for rule in role.rules.iter().flatten() {
        expand(rule, account, &place, role, rights);
    }
}

fn expand(rule: &Rule, account: &str, place: &Place, role: &Object, rights: &mut Rights) {
    let lists = [&rule.api_groups, &rule.resources, &rule.verbs, &rule.urls];
    let has_any = |list: &&Vec<String>| list.iter().any(|word| word.contains(ANY));
    if lists.iter().any(has_any) || !rule.urls.is_empty() {
        rights.refused.push(format!(
            "{} {} grants {account} a wildcard or an address: write each group, resource and verb",
            role.kind, role.metadata.name
        ));
        return;
    }
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                rights.grants.insert(Grant {
                    account: account.to_owned(),
                    place: place.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    names: rule.resource_names.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role of each kind with their bindings, and what Kubernetes itself brings.
    const LISTED: &str = r#"{"items": [
        {"kind": "ClusterRole", "metadata": {"name": "operator"}, "rules": [
            {"apiGroups": ["apps", "extensions"], "resources": ["deployments"], "verbs": ["list", "patch"]}]},
        {"kind": "Role", "metadata": {"name": "operator", "namespace": "sys"}, "rules": [
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"], "resourceNames": ["a", "b"]}]},
        {"kind": "ClusterRole", "metadata": {"name": "empty"}, "rules": null},
        {"kind": "ClusterRoleBinding", "metadata": {"name": "wide"},
            "roleRef": {"kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "sys"}]},
        {"kind": "ClusterRoleBinding", "metadata": {"name": "void"},
            "roleRef": {"kind": "ClusterRole", "name": "empty"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "sys"}]},
        {"kind": "RoleBinding", "metadata": {"name": "narrow", "namespace": "sys"},
            "roleRef": {"kind": "Role", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "sys"}]},
        {"kind": "RoleBinding", "metadata": {"name": "elsewhere", "namespace": "models"},
            "roleRef": {"kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "front", "namespace": "sys"}]},
        {"kind": "ClusterRoleBinding", "metadata": {"name": "others"},
            "roleRef": {"kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "other"},
                {"kind": "Group", "name": "system:serviceaccounts"}]},
        {"kind": "ClusterRoleBinding", "metadata": {"name": "nobody"},
            "roleRef": {"kind": "ClusterRole", "name": "operator"}}
    ]}"#;

    fn rights(text: &str) -> Rights {
        of("sys", &serde_json::from_str(text).expect("good"))
    }

    #[test]
    fn every_verb_on_every_resource_is_a_grant_of_its_own() {
        let rights = rights(LISTED);
        assert_eq!(rights.refused, [] as [&str; 0]);
        let told: Vec<_> = rights.grants.iter().map(Grant::to_string).collect();
        assert_eq!(
            told,
            [
                "front may list deployments.apps (models)",
                "front may patch deployments.apps (models)",
                "front may list deployments.extensions (models)",
                "front may patch deployments.extensions (models)",
                "worker may list deployments.apps (cluster-wide)",
                "worker may patch deployments.apps (cluster-wide)",
                "worker may list deployments.extensions (cluster-wide)",
                "worker may patch deployments.extensions (cluster-wide)",
                "worker may get pods/log a b (sys)",
            ]
        );
    }

    #[test]
    fn wildcards_and_addresses_are_refused() {
        for (rule, changed) in [
            (r#""verbs": ["list", "patch"]"#, r#""verbs": ["*"]"#),
            (r#"["deployments"]"#, r#"["deployments/*"]"#),
            (r#"["apps", "extensions"]"#, r#"["*"]"#),
            (
                r#"["deployments"]"#,
                r#"[], "nonResourceURLs": ["/metrics"]"#,
            ),
        ] {
            let rights = rights(&LISTED.replace(rule, changed));
            assert_eq!(rights.refused.len(), 2, "{changed}: {:?}", rights.refused);
            assert_eq!(rights.grants.len(), 1, "{changed}");
        }
    }

    #[test]
    fn what_is_for_all_accounts_or_for_no_role_is_refused() {
        let all = LISTED.replace("system:serviceaccounts", "system:serviceaccounts:sys");
        let refused = rights(&all).refused;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].contains("every account"), "{refused:?}");
        let dangling = LISTED.replace(r#""name": "empty"}, "rules""#, r#""name": "x"}, "rules""#);
        let refused = rights(&dangling).refused;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].contains("not there"), "{refused:?}");
    }
}
