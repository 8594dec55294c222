//! The chart's values: every set that is tried, and every place where a wrong key must be refused.

use super::CHART;
use super::render::Tools;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use serde_json::Value;
use std::fs;

/// A key that the chart does not know.
const UNKNOWN: &str = "notThere";
/// Maps whose keys are the user's own, by the end of their path.
const FREE: &[&str] = &[".requests", ".limits"];

/// Settings that can't be meant, one for each rule that values.schema.json has beside its keys.
const WRONG: &[&str] = &[
    "fullnameOverride=Upper",
    "gateway.image.tag=a/b",
    "gateway.keysNamespace=Keys",
    "gateway.podDisruptionBudget.maxUnavailable=half",
    "gateway.service.port=0",
    "gateway.service.type=ExternalName",
    "gateway.tls.secretName=a/b",
    "imagePullPolicy=Sometimes",
    "imagePullSecrets[0]=pull",
    "metrics.serviceMonitor.interval=30",
    "nodeCache.folder=/",
    "nodeCache.folder=models",
    "operator.extraEnv[0].value=nameless",
    "operator.image.digest=123",
    "operator.metrics=prometheus",
    "operator.metrics=prometheus=prometheus:9090",
    "operator.metrics=prometheus=http://user:word@prometheus",
    "operator.metricsCredentialsSecret=a/b",
    "operator.replicas=-1",
    "operator.replicas=two",
    "server.env.0DIGIT=a",
    "server.env.FLAG=true",
];

/// The default values.
///
/// # Errors
/// When they can't be read.
pub(super) fn defaults() -> Result<Value> {
    let path = layout::root().join(CHART).join("values.yaml");
    let text = fs::read_to_string(&path).context("the chart has no values.yaml")?;
    serde_yaml::from_str(&text).context("values.yaml is not YAML")
}

/// The value files that come with the chart, one set each, sorted.
///
/// # Errors
/// When there are none.
pub(super) fn sets() -> Result<Vec<Vec<String>>> {
    let folder = format!("{CHART}/ci");
    let mut sets = Vec::new();
    for entry in fs::read_dir(layout::root().join(&folder)).with_context(|| folder.clone())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with("-values.yaml") {
            sets.push(vec![format!("{folder}/{name}")]);
        }
    }
    if sets.is_empty() {
        bail!("{folder} holds no *-values.yaml");
    }
    sets.sort();
    Ok(sets)
}

/// Whatever a user may misspell or mistake, the chart must say so.
///
/// # Errors
/// When the values can't be read.
pub(super) fn refusals(tools: &Tools) -> Result<Vec<String>> {
    let mut places = Vec::new();
    strict(String::new(), &defaults()?, &mut places);
    let unknown = places.iter().map(|place| format!("{place}{UNKNOWN}=1"));
    let mut settings: Vec<String> = unknown.collect();
    settings.extend(WRONG.iter().map(|setting| (*setting).to_owned()));
    let mut findings = Vec::new();
    for setting in &settings {
        if tools.takes(&[setting]) {
            findings.push(format!("values.schema.json lets `{setting}` pass"));
        }
    }
    println!(
        "{} wrong values are refused",
        settings.len() - findings.len()
    );
    Ok(findings)
}

/// The maps whose keys the chart knows, each as the path before a key. One that is empty by
/// default is for the user to fill.
fn strict(path: String, value: &Value, places: &mut Vec<String>) {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return;
    };
    if FREE.iter().any(|end| path.ends_with(&format!("{end}."))) {
        return;
    }
    for (key, value) in fields {
        strict(format!("{path}{key}."), value, places);
    }
    places.push(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_maps_with_known_keys_are_strict() {
        let values = json!({"a": {"b": 1, "free": {}, "limits": {"cpu": 1}}, "list": [{"c": 1}]});
        let mut places = Vec::new();
        strict(String::new(), &values, &mut places);
        assert_eq!(places, ["a.", ""]);
    }
}
