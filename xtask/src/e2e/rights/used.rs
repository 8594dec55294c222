//! What accounts asked the API server, from its audit log.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the API server answers to whoever lacks a right, and in some other cases.
const FORBIDDEN: u16 = 403;
/// What it answers when it has made an object.
const CREATED: u16 = 201;

/// A request as the log has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

/// One request of an account for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) account: String,
    pub(super) group: String,
    /// With its subresource.
    pub(super) resource: String,
    /// The verbs that it takes.
    pub(super) verbs: Vec<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) is_refused: bool,
}

/// Every request of the accounts of `namespace`, from all files of the log.
///
/// # Errors
/// When the log can't be read, or tells of none.
pub(super) fn read(folder: &Path, namespace: &str) -> Result<Vec<Request>> {
    let what = || {
        format!(
            "{} holds no audit log: take the cluster down and up again",
            folder.display()
        )
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        files.push(entry?.path());
    }
    files.sort();
    let mut log = Log::default();
    for file in files {
        let text = fs::read_to_string(&file)?;
        log.add(&text, namespace)
            .with_context(|| file.display().to_string())?;
    }
    if log.requests.is_empty() {
        bail!("the audit log tells of no request of an account of {namespace}");
    }
    Ok(log.requests)
}

#[derive(Debug, Default)]
struct Log {
    /// A watch is told twice, when it begins and when it ends.
    known: BTreeSet<String>,
    requests: Vec<Request>,
}

impl Log {
    fn add(&mut self, text: &str, namespace: &str) -> Result<()> {
        // What stands behind the last line's end is being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let prefix = format!("system:serviceaccount:{namespace}:");
        for line in whole.lines() {
            let event: Event = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let account = event.user.username.strip_prefix(&prefix).map(str::to_owned);
            if let Some(account) = account
                && self.known.insert(event.id.clone())
                && let Some(request) = request(account, event)
            {
                self.requests.push(request);
            }
        }
        Ok(())
    }
}

/// A request that needs a right on a resource; others are for addresses such as `/version`.
fn request(account: String, event: Event) -> Option<Request> {
    let object = event.object_ref?;
    let status = event.response_status.unwrap_or_default();
    let mut verbs = vec![event.verb];
    if makes_object(&verbs[0], &object, status.code) {
        verbs.push("create".to_owned());
    }
    let resource = match object.subresource.as_str() {
        "" => object.resource,
        subresource => format!("{}/{subresource}", object.resource),
    };
    Some(Request {
        account,
        group: object.api_group,
        resource,
        verbs,
        namespace: object.namespace,
        name: object.name,
        is_refused: status.code == FORBIDDEN,
    })
}

/// Who patches or updates what is not there needs the right to create it as well. A patch that was
/// refused may have been for want of either.
fn makes_object(verb: &str, object: &ObjectRef, code: u16) -> bool {
    let may_have = verb == "patch" && object.subresource.is_empty() && code == FORBIDDEN;
    verb != "create" && (code == CREATED || may_have)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, verb: &str, object: &str, status: &str) -> String {
        format!(
            r#"{{"kind":"Event","level":"Metadata","auditID":"{id}","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"system:serviceaccount:sys:worker"}},{object}"responseStatus":{{"metadata":{{}},{status}}}}}"#
        ) + "\n"
    }

    fn parsed(text: &str) -> Vec<Request> {
        let mut log = Log::default();
        log.add(text, "sys").expect("good");
        log.requests
    }

    const DEPLOYMENT: &str = r#""objectRef":{"resource":"deployments","namespace":"n","name":"m","apiGroup":"apps","apiVersion":"v1"},"#;
    const STATUS: &str = r#""objectRef":{"resource":"modeldeployments","namespace":"n","name":"m","apiGroup":"chandler.dev","subresource":"status"},"#;
    const OK: &str = r#""code":200"#;

    #[test]
    fn a_request_is_told_with_all_that_a_right_names() {
        let [found] = &parsed(&line("1", "patch", STATUS, OK))[..] else {
            panic!("not one request");
        };
        let expected = Request {
            account: "worker".to_owned(),
            group: "chandler.dev".to_owned(),
            resource: "modeldeployments/status".to_owned(),
            verbs: vec!["patch".to_owned()],
            namespace: Some("n".to_owned()),
            name: Some("m".to_owned()),
            is_refused: false,
        };
        assert_eq!(*found, expected);
    }

    #[test]
    fn an_apply_that_makes_its_object_needs_two_verbs() {
        let made = parsed(&line("1", "patch", DEPLOYMENT, r#""code":201"#));
        assert_eq!(made[0].verbs, ["patch", "create"]);
        let changed = parsed(&line("1", "patch", DEPLOYMENT, OK));
        assert_eq!(changed[0].verbs, ["patch"]);
        let posted = parsed(&line("1", "create", DEPLOYMENT, r#""code":201"#));
        assert_eq!(posted[0].verbs, ["create"]);
    }

    #[test]
    fn each_request_counts_once_and_only_for_its_account() {
        let began = line("1", "watch", DEPLOYMENT, OK);
        let other = line("2", "list", DEPLOYMENT, OK).replace(":sys:", ":other:");
        let address = line("3", "get", "", OK);
        let half = line("4", "list", DEPLOYMENT, OK);
        let text = [&began, &began, &other, &address, &half[..40]].concat();
        let found = parsed(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].verbs, ["watch"]);
        let mut log = Log::default();
        assert!(log.add("{}\n", "sys").is_err(), "no event");
    }

    #[test]
    fn a_refusal_is_told_with_all_that_could_be_missing() {
        let no = r#""code":403"#;
        let found = parsed(&line("1", "patch", DEPLOYMENT, no));
        assert!(found[0].is_refused);
        assert_eq!(found[0].verbs, ["patch", "create"]);
        let found = parsed(&line("1", "patch", STATUS, no));
        assert_eq!(found[0].verbs, ["patch"]);
    }
}
