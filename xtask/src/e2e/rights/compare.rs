//! Rights against their use.

use super::granted::{Grant, Place, Rights};
use super::used::Request;
use std::collections::BTreeMap;

/// What no account of ours may so much as see, since credentials are the business of the kubelet,
/// but for the gateway, which reads the API keys of one namespace.
const SECRETS: &str = "secrets";
/// How the name of the account ends that may, and what it may.
const KEY_READER: &str = "gateway";
const KEY_VERBS: [&str; 2] = ["list", "watch"];

/// One right, and how many requests needed it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) grant: Grant,
    pub(super) uses: usize,
}

/// Every right, and what is wrong, each in one line.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) rows: Vec<Row>,
    pub(super) findings: Vec<String>,
}

/// Compares what was granted with what was asked.
pub(super) fn compare(rights: &Rights, requests: &[Request]) -> Verdict {
    let allowed: Vec<&Request> = requests.iter().filter(|it| !it.is_refused).collect();
    let uses = |grant: &Grant| allowed.iter().filter(|it| is_for(grant, it)).count();
    let rows: Vec<Row> = rights
        .grants
        .iter()
        .map(|grant| Row {
            grant: grant.clone(),
            uses: uses(grant),
        })
        .collect();
    let mut findings = rights.refused.clone();
    let secrets = rights.grants.iter().filter(|it| of_secrets(it));
    let secrets = secrets.filter(|it| !reads_keys(it));
    findings.extend(secrets.map(|grant| {
        format!("{grant}: nobody shall see Secrets, but the gateway those of one namespace")
    }));
    let unused = rows.iter().filter(|row| row.uses == 0);
    findings.extend(unused.map(|row| format!("{}, and nothing used it", row.grant)));
    findings.extend(refusals(rights, requests));
    Verdict { rows, findings }
}

fn of_secrets(grant: &Grant) -> bool {
    grant.group.is_empty() && grant.resource.split('/').next() == Some(SECRETS)
}

/// Whether a right is that of the gateway to hear of API keys.
fn reads_keys(grant: &Grant) -> bool {
    grant.resource == SECRETS
        && grant.account.ends_with(KEY_READER)
        && matches!(grant.place, Place::Namespace(_))
        && KEY_VERBS.contains(&grant.verb.as_str())
}

/// Whether a request needed this right.
fn is_for(grant: &Grant, request: &Request) -> bool {
    request.verbs.contains(&grant.verb) && is_about(grant, request)
}

/// Whether a right is about what a request was about.
fn is_about(grant: &Grant, request: &Request) -> bool {
    let is_here = match &grant.place {
        Place::Cluster => true,
        Place::Namespace(name) => request.namespace.as_ref() == Some(name),
    };
    let is_named = match &request.name {
        Some(name) => grant.names.is_empty() || grant.names.contains(name),
        None => grant.names.is_empty(),
    };
    is_here
        && is_named
        && grant.account == request.account
        && grant.group == request.group
        && grant.resource == request.resource
}

/// What was refused for want of a right, each right once. An API server forbids other things too,
/// such as to make an object in a namespace that is going, and, while it starts, whatever it has
/// not yet read the roles for.
fn refusals(rights: &Rights, requests: &[Request]) -> Vec<String> {
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for request in requests.iter().filter(|it| it.is_refused) {
        for verb in &request.verbs {
            let mut grants = rights.grants.iter();
            if !grants.any(|it| it.verb == *verb && is_about(it, request)) {
                let (account, resource) = (&request.account, &request.resource);
                let what = format!("{account} lacks {verb} on {resource}");
                *missing.entry(what).or_default() += 1;
            }
        }
    }
    let lines = missing
        .iter()
        .map(|(what, count)| format!("{what}: {count} requests were refused"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(resource: &str, verb: &str) -> Grant {
        Grant {
            account: "worker".to_owned(),
            place: Place::Cluster,
            group: String::new(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
            names: Vec::new(),
        }
    }

    fn request(resource: &str, verbs: &[&str]) -> Request {
        Request {
            account: "worker".to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            namespace: Some("n".to_owned()),
            name: Some("a".to_owned()),
            is_refused: false,
        }
    }

    fn verdict(grants: &[Grant], requests: &[Request]) -> Verdict {
        let rights = Rights {
            grants: grants.iter().cloned().collect(),
            refused: Vec::new(),
        };
        compare(&rights, requests)
    }

    #[test]
    fn what_is_used_is_counted() {
        let grants = [grant("pods", "create"), grant("pods", "patch")];
        let asked = [
            request("pods", &["patch", "create"]),
            request("pods", &["patch"]),
        ];
        let verdict = verdict(&grants, &asked);
        let counts: Vec<_> = verdict.rows.iter().map(|row| row.uses).collect();
        assert_eq!(counts, [1, 2]);
        assert_eq!(verdict.findings, [] as [&str; 0]);
    }

    #[test]
    fn a_verb_that_nothing_used_is_told() {
        let grants = [grant("pods", "list"), grant("pods", "watch")];
        let verdict = verdict(&grants, &[request("pods", &["list"])]);
        assert_eq!(
            verdict.findings,
            ["worker may watch pods (cluster-wide), and nothing used it"]
        );
    }

    #[test]
    fn only_a_request_that_the_right_is_for_counts() {
        let of_another = |change: fn(&mut Grant)| {
            let mut grant = grant("pods", "list");
            change(&mut grant);
            verdict(&[grant], &[request("pods", &["list"])])
                .findings
                .len()
        };
        assert_eq!(of_another(|_| {}), 0);
        assert_eq!(of_another(|it| it.place = Place::Namespace("n".into())), 0);
        assert_eq!(of_another(|it| it.names = vec!["b".into(), "a".into()]), 0);
        assert_eq!(of_another(|it| it.place = Place::Namespace("x".into())), 1);
        assert_eq!(of_another(|it| it.names = vec!["b".into()]), 1);
        assert_eq!(of_another(|it| it.account = "front".into()), 1);
        assert_eq!(of_another(|it| it.group = "apps".into()), 1);
        assert_eq!(of_another(|it| it.resource = "pods/log".into()), 1);
    }

    #[test]
    fn a_refused_request_uses_nothing_and_tells_what_is_missing() {
        let mut asked = request("pods", &["patch", "create"]);
        asked.is_refused = true;
        let found = verdict(&[grant("pods", "patch")], &[asked.clone(), asked.clone()]);
        assert_eq!(
            found.findings,
            [
                "worker may patch pods (cluster-wide), and nothing used it",
                "worker lacks create on pods: 2 requests were refused",
            ]
        );
        let grants = [grant("pods", "patch"), grant("pods", "create")];
        let served = request("pods", &["patch", "create"]);
        let found = verdict(&grants, &[asked, served]).findings;
        assert_eq!(found, [] as [&str; 0], "forbidden for another reason");
    }

    #[test]
    fn secrets_of_one_namespace_are_the_gateways() {
        let of = |account: &str, verb: &str, place: Place| {
            let mut grant = grant("secrets", verb);
            (grant.account, grant.place) = (account.to_owned(), place);
            let mut asked = request("secrets", &[verb]);
            (asked.account, asked.name) = (account.to_owned(), None);
            verdict(&[grant], &[asked]).findings.len()
        };
        let here = || Place::Namespace("n".to_owned());
        assert_eq!(of("chandler-gateway", "list", here()), 0);
        assert_eq!(of("chandler-gateway", "watch", here()), 0);
        assert_eq!(of("chandler-gateway", "get", here()), 1);
        assert_eq!(of("chandler-gateway", "list", Place::Cluster), 1);
        assert_eq!(of("chandler-operator", "list", here()), 1);
    }

    #[test]
    fn secrets_are_nobodys() {
        let grants = [grant("secrets", "get")];
        let found = verdict(&grants, &[request("secrets", &["get"])]).findings;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("Secrets"), "{found:?}");
    }
}
