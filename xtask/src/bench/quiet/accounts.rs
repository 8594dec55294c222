//! Whose requests they are. The API server counts requests by what they ask for and not by who
//! asks; but it sorts them into flows, each with a counter of its own, and a flow may be of one
//! account and some verbs. The flows made here share the priority that service accounts have anyway.

use super::kubectl;
use crate::e2e::install;
use anyhow::Result;
use std::fmt::Write;

/// The counter of flows, and its label.
pub(super) const COUNTER: &str = "apiserver_flowcontrol_dispatched_requests_total";
pub(super) const FLOW: &str = "flow_schema";
/// What the names of our flows begin with.
const PREFIX: &str = "chandler-quiet";
/// Chandler's accounts, and short names for them.
const ACCOUNTS: &[(&str, &str)] = &[
    ("operator", "chandler-operator"),
    ("gateway", "chandler-gateway"),
];
/// Before those of Kubernetes that would take the requests of any service account.
const PRECEDENCE: u32 = 500;

/// What kind of request a flow has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Anything about a lease: that is the election's, with or without models.
    Lease,
    /// Anything that changes something else.
    Write,
    /// A get or a list.
    Read,
    /// A watch that is opened.
    Watch,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Lease, Self::Write, Self::Read, Self::Watch];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Write => "write",
            Self::Read => "read",
            Self::Watch => "watch",
        }
    }

    fn verbs(self) -> &'static str {
        match self {
            Self::Lease => "['*']",
            Self::Write => "[create, update, patch, delete, deletecollection]",
            Self::Read => "[get, list]",
            Self::Watch => "[watch]",
        }
    }

    /// Groups and resources.
    fn objects(self) -> [&'static str; 2] {
        match self {
            Self::Lease => ["coordination.k8s.io", "leases"],
            _ => ["*", "*"],
        }
    }

    /// Of the flows that a request fits, the one with the least number has it.
    fn precedence(self) -> u32 {
        match self {
            Self::Lease => PRECEDENCE - 1,
            _ => PRECEDENCE,
        }
    }
}

/// Makes the flows.
///
/// # Errors
/// When the API server refuses.
pub(super) fn count_apart() -> Result<()> {
    kubectl::send(&["apply", "--server-side"], &manifest())
}

/// Removes the flows again.
///
/// # Errors
/// When the API server refuses.
pub(super) fn count_together() -> Result<()> {
    kubectl::send(&["delete", "--ignore-not-found"], &manifest())
}

/// The name of a flow.
pub(super) fn flow(account: &str, kind: Kind) -> String {
    format!("{PREFIX}-{account}-{}", kind.name())
}

/// The account and the kind of a flow of ours, as one text.
pub(super) fn shown(flow: &str) -> Option<String> {
    let rest = flow.strip_prefix(PREFIX)?.strip_prefix('-')?;
    Some(rest.replacen('-', " ", 1))
}

fn manifest() -> String {
    let mut text = String::new();
    for (account, name) in ACCOUNTS {
        for kind in Kind::ALL {
            let [group, resource] = kind.objects();
            let _ = writeln!(
                text,
                "---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {{name: {flow}}}
spec:
  priorityLevelConfiguration: {{name: workload-low}}
  matchingPrecedence: {precedence}
  distinguisherMethod: {{type: ByUser}}
  rules:
  - subjects:
    - {{kind: ServiceAccount, serviceAccount: {{namespace: {namespace}, name: {name}}}}}
    resourceRules:
    - {{verbs: {verbs}, apiGroups: ['{group}'], resources: ['{resource}'], namespaces: ['*'], clusterScope: true}}",
                flow = flow(account, kind),
                precedence = kind.precedence(),
                namespace = install::NAMESPACE,
                verbs = kind.verbs(),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_yaml::Value;

    #[test]
    fn every_account_has_a_flow_of_each_kind_and_leases_go_first() {
        let text = manifest();
        let flows: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
            .map(|one| Value::deserialize(one).expect("a flow"))
            .collect();
        assert_eq!(flows.len(), ACCOUNTS.len() * Kind::ALL.len());
        let precedence = |kind: Kind| {
            let name = flow("operator", kind);
            let mut all = flows.iter();
            let found = all.find(|one| one["metadata"]["name"] == name.as_str());
            found.expect("a flow")["spec"]["matchingPrecedence"].as_u64()
        };
        assert!(precedence(Kind::Lease) < precedence(Kind::Write));
        assert!(precedence(Kind::Lease) < precedence(Kind::Read));
    }

    #[test]
    fn flows_are_told_by_account_and_kind() {
        let name = flow("operator", Kind::Read);
        assert_eq!(shown(&name).as_deref(), Some("operator read"));
        assert_eq!(shown("service-accounts"), None);
    }
}
