//! The chart's objects against a kustomization's.

use super::objects::{Id, Objects};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What begins so is Helm's own and means nothing to a cluster.
const HELM: &str = "helm.sh/";
/// Marks what Helm runs and does not install.
const HOOK: &str = "helm.sh/hook";
/// Names the tool that installed an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Every difference, each in one line. The chart does not make the namespace of its release, and
/// the kustomization has no hooks.
pub(super) fn compare(chart: &Objects, kustomization: &Objects) -> Vec<String> {
    let chart = without_helm(chart);
    let mut kustomization = kustomization.clone();
    kustomization.retain(|id, _| id.kind != "Namespace" || chart.contains_key(id));
    let ids: BTreeSet<&Id> = chart.keys().chain(kustomization.keys()).collect();
    let mut findings = Vec::new();
    for id in ids {
        match (chart.get(id), kustomization.get(id)) {
            (Some(left), Some(right)) => {
                let mut found = Vec::new();
                walk("", left, right, &mut found);
                findings.extend(found.iter().map(|finding| format!("{id}: {finding}")));
            }
            (Some(_), None) => findings.push(format!("{id}: only the chart has it")),
            (None, _) => findings.push(format!("{id}: the chart does not have it")),
        }
    }
    findings
}

/// The objects that are installed, without what is Helm's own.
fn without_helm(chart: &Objects) -> Objects {
    let mut left = Objects::new();
    for (id, object) in chart {
        if !object["metadata"]["annotations"][HOOK].is_null() {
            continue;
        }
        let mut object = object.clone();
        for field in ["labels", "annotations"] {
            strip(&mut object["metadata"], field);
        }
        left.insert(id.clone(), object);
    }
    left
}

fn strip(metadata: &mut Value, field: &str) {
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    let Some(marks) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
        return;
    };
    marks.retain(|key, _| !key.starts_with(HELM) && key != MANAGED_BY);
    if marks.is_empty() {
        metadata.remove(field);
    }
}

fn walk(path: &str, chart: &Value, other: &Value, findings: &mut Vec<String>) {
    match (chart, other) {
        (Value::Object(left), Value::Object(right)) => fields(path, left, right, findings),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                walk(&format!("{path}[{index}]"), left, right, findings);
            }
        }
        // kubectl writes a whole number without its point.
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (left, right) if left == right => {}
        (left, right) => findings.push(format!(
            "{path} is {left} in the chart and {right} in the kustomization"
        )),
    }
}

fn fields(
    path: &str,
    left: &Map<String, Value>,
    right: &Map<String, Value>,
    findings: &mut Vec<String>,
) {
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for key in keys {
        let (left, right) = (left.get(key), right.get(key));
        let nothing = Value::Null;
        let path = format!("{path}.{key}");
        walk(
            &path,
            left.unwrap_or(&nothing),
            right.unwrap_or(&nothing),
            findings,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::parse;
    use super::*;

    const PLAIN: &str = "
apiVersion: v1
kind: Service
metadata: {name: a, labels: {x: y}}
spec: {ports: [{port: 80}]}
";

    fn found(chart: &str, kustomization: &str) -> Vec<String> {
        let parsed = |text| parse(text).expect("good");
        compare(&parsed(chart), &parsed(kustomization))
    }

    #[test]
    fn what_is_helms_own_is_no_difference() {
        let chart = "
apiVersion: v1
kind: Service
metadata:
  name: a
  labels: {x: y, helm.sh/chart: c, app.kubernetes.io/managed-by: Helm}
  annotations: {helm.sh/resource-policy: keep}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: t, annotations: {helm.sh/hook: test}}
";
        let namespace = "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n";
        assert_eq!(
            found(chart, &format!("{PLAIN}{namespace}")),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_namespace_of_the_chart_is_compared() {
        let of = |level: &str| {
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: n, labels: {{l: {level}}}}}\n"
            )
        };
        assert_eq!(found(&of("a"), &of("a")), [] as [&str; 0]);
        assert_eq!(found(&of("a"), &of("b")).len(), 1);
        assert_eq!(found(&of("a"), PLAIN).len(), 2);
    }

    #[test]
    fn a_number_is_the_same_in_either_form() {
        assert_eq!(found(PLAIN, &PLAIN.replace("80", "80.0")), [] as [&str; 0]);
    }

    #[test]
    fn a_difference_is_told_with_its_place() {
        let other = PLAIN.replace("80", "81").replace("x: y", "z: y");
        assert_eq!(
            found(PLAIN, &other),
            [
                "Service a: .metadata.labels.x is \"y\" in the chart and null in the kustomization",
                "Service a: .metadata.labels.z is null in the chart and \"y\" in the kustomization",
                "Service a: .spec.ports[0].port is 80 in the chart and 81 in the kustomization",
            ]
        );
        let renamed = PLAIN.replace("name: a", "name: b");
        assert_eq!(
            found(PLAIN, &renamed),
            [
                "Service a: only the chart has it",
                "Service b: the chart does not have it"
            ]
        );
    }
}
