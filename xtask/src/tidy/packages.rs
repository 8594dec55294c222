//! Rules about which crate depends on what.

use super::{DEPENDENCIES, Finding};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What each crate may depend on of the workspace; nothing else may.
const ARROWS: &[(&str, &[&str])] = &[
    ("chandler-crds", &[]),
    ("chandler-core", &["chandler-crds"]),
    ("chandler-evaluation", &["chandler-crds"]),
    ("chandler-source", &["chandler-crds"]),
    ("chandler-kernels", &[]),
    (
        "chandler-server",
        &["chandler-crds", "chandler-kernels", "chandler-source"],
    ),
    (
        "chandler-gateway",
        &["chandler-core", "chandler-crds", "chandler-evaluation"],
    ),
    ("chandler-sim", &["chandler-core", "chandler-crds"]),
    ("chandler-probe", &["chandler-core", "chandler-crds"]),
    (
        "chandler-operator",
        &["chandler-core", "chandler-crds", "chandler-probe"],
    ),
    (
        "chandler",
        &[
            "chandler-core",
            "chandler-crds",
            "chandler-evaluation",
            "chandler-gateway",
            "chandler-operator",
            "chandler-probe",
            "chandler-sim",
            "chandler-source",
        ],
    ),
    ("chandler-e2e", &["chandler-crds"]),
    ("chandler-faulty", &[]),
    ("chandler-e2e-suite", &["chandler-crds", "chandler-e2e"]),
    ("chandler-fuzz", &["chandler-gateway"]),
    (
        "xtask",
        &[
            "chandler-core",
            "chandler-crds",
            "chandler-e2e",
            "chandler-sim",
        ],
    ),
];

/// A crate of the workspace and the names of its direct dependencies.
#[derive(Debug)]
struct Member<'a> {
    name: &'a str,
    /// What it is built from.
    built_from: BTreeSet<&'a str>,
    /// The same with what only its tests need.
    all: BTreeSet<&'a str>,
}

/// Checks the arrows between crates, and that `list`, the text of [`DEPENDENCIES`], has a line
/// for every direct dependency and no other.
pub(crate) fn check(metadata: &Value, list: &str) -> Vec<Finding> {
    let members = members(metadata);
    let names: BTreeSet<_> = members.iter().map(|member| member.name).collect();
    let mut findings = Vec::new();
    for member in &members {
        check_arrows(member, &names, &mut findings);
    }
    let used = members.iter().flat_map(|member| &member.all).copied();
    let foreign = used.filter(|name| !names.contains(name)).collect();
    check_list(&foreign, list, &mut findings);
    findings
}

fn check_arrows(member: &Member<'_>, names: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let place = member.name.to_owned();
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
        let message = "a new crate: tell in xtask/src/tidy/packages.rs what it may depend on";
        findings.push(Finding {
            place,
            line: 0,
            message: message.to_owned(),
        });
        return;
    };
    for other in member
        .built_from
        .intersection(names)
        .filter(|other| !allowed.contains(*other))
    {
        let message = format!("may not depend on {other}: it may on {allowed:?} only");
        findings.push(Finding {
            place: place.clone(),
            line: 0,
            message,
        });
    }
}

fn check_list(used: &BTreeSet<&str>, list: &str, findings: &mut Vec<Finding>) {
    let mut listed = BTreeMap::new();
    for (index, line) in list.lines().enumerate() {
        if let Some(name) = listed_name(line) {
            listed.insert(name, index + 1);
        }
    }
    for name in used.iter().filter(|name| !listed.contains_key(**name)) {
        let message = format!("no line for {name}: add \"- `{name}`: why it is needed\"");
        findings.push(Finding {
            place: DEPENDENCIES.to_owned(),
            line: 0,
            message,
        });
    }
    for (name, line) in listed.iter().filter(|(name, _)| !used.contains(**name)) {
        let message = format!("{name} is no direct dependency: remove its line");
        findings.push(Finding {
            place: DEPENDENCIES.to_owned(),
            line: *line,
            message,
        });
    }
}

/// The name of a line such as "- `name`: reason" or "| `name` | reason |".
fn listed_name(line: &str) -> Option<&str> {
    let entry = line
        .strip_prefix("- `")
        .or_else(|| line.strip_prefix("| `"))?;
    entry.split_once('`').map(|(name, _)| name)
}

fn members(metadata: &Value) -> Vec<Member<'_>> {
    let ids: BTreeSet<_> = array(&metadata["workspace_members"])
        .map(Value::to_string)
        .collect();
    let packages = array(&metadata["packages"]);
    let own = packages.filter(|package| ids.contains(&package["id"].to_string()));
    own.filter_map(|package| {
        let dependencies = || array(&package["dependencies"]);
        let names = dependencies().filter_map(|dependency| dependency["name"].as_str());
        let built = dependencies().filter(|dependency| dependency["kind"] != "dev");
        Some(Member {
            name: package["name"].as_str()?,
            built_from: built
                .filter_map(|dependency| dependency["name"].as_str())
                .collect(),
            all: names.collect(),
        })
    })
    .collect()
}

/// The elements of a JSON array; none for anything else.
pub(super) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(name: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| json!({"name": name, "kind": kind}))
            .collect();
        json!({
            "workspace_members": ["a", "b"],
            "packages": [
                {"id": "a", "name": name, "dependencies": dependencies},
                {"id": "b", "name": "chandler-gateway", "dependencies": []},
                {"id": "c", "name": "foreign", "dependencies": [{"name": "deeper", "kind": null}]},
            ],
        })
    }

    fn messages(metadata: &Value, list: &str) -> Vec<String> {
        check(metadata, list)
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn arrows_that_are_not_drawn_are_told() {
        let metadata = metadata("chandler-core", &[("chandler-gateway", Value::Null)]);
        let found = messages(&metadata, "");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("may not depend on chandler-gateway"),
            "{found:?}"
        );
    }

    #[test]
    fn tests_may_depend_on_any_crate_of_ours() {
        let metadata = metadata("chandler-core", &[("chandler-gateway", json!("dev"))]);
        assert_eq!(messages(&metadata, ""), [] as [&str; 0]);
    }

    #[test]
    fn a_new_crate_needs_its_arrows() {
        let found = messages(&metadata("chandler-new", &[]), "");
        assert!(found[0].contains("a new crate"), "{found:?}");
    }

    #[test]
    fn the_list_of_dependencies_is_complete_and_no_longer() {
        let metadata = metadata(
            "chandler-core",
            &[("foreign", Value::Null), ("tool", json!("dev"))],
        );
        let list = "# Dependencies\n- `foreign`: it helps\n| `tool` | in tests |\n";
        assert_eq!(messages(&metadata, list), [] as [&str; 0]);
        let found = messages(&metadata, "- `tool`: in tests\n- `gone`: once\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("no line for foreign"), "{found:?}");
        assert!(
            found[1].contains("gone is no direct dependency"),
            "{found:?}"
        );
    }
}
