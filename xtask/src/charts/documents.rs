//! What is written about the chart must be what the chart is.

use super::CHART;
use super::values;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use serde_json::Value;
use std::fs;

/// Where users read about the values.
const GUIDE: &str = "docs/install.md";

/// The chart is of the workspace's version.
///
/// # Errors
/// When it can't be read.
pub(super) fn version() -> Result<Vec<String>> {
    let text = read(&format!("{CHART}/Chart.yaml"))?;
    let chart: Value = serde_yaml::from_str(&text).context("Chart.yaml is not YAML")?;
    let own = env!("CARGO_PKG_VERSION");
    let wrong = ["version", "appVersion"]
        .into_iter()
        .filter(|field| chart[*field] != own);
    let findings = wrong.map(|field| format!("Chart.yaml: {field} is not {own}"));
    Ok(findings.collect())
}

/// Every value has a comment above it and a line in the guide with its default.
///
/// # Errors
/// When a file can't be read.
pub(super) fn values() -> Result<Vec<String>> {
    let text = read(&format!("{CHART}/values.yaml"))?;
    let mut findings = uncommented(&text);
    let guide = read(GUIDE)?;
    let mut leaves = Vec::new();
    leaf("", &values::defaults()?, &mut leaves);
    for (path, default) in leaves {
        let row = format!("| `{path}` | `{default}` |");
        if !guide.contains(&row) {
            findings.push(format!("{GUIDE} has no line that begins `{row}`"));
        }
    }
    Ok(findings)
}

/// Keys without a comment above, but for those that only Kubernetes knows.
fn uncommented(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let is_quantity = ["cpu:", "memory:"]
            .iter()
            .any(|key| trimmed.starts_with(key));
        let is_key = !trimmed.is_empty() && !trimmed.starts_with('#');
        if is_key && !is_quantity && !before.trim_start().starts_with('#') {
            findings.push(format!(
                "values.yaml:{}: `{trimmed}` has no comment",
                index + 1
            ));
        }
        before = line;
    }
    findings
}

/// The values below `value` that are no maps of the chart's own, with their defaults as JSON.
fn leaf(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaf(&path, value, leaves);
            }
        }
        _ => leaves.push((path.to_owned(), value.to_string())),
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(layout::root().join(path)).with_context(|| format!("can't read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_without_a_comment_is_told() {
        let text = "# One.\na:\n  # Two.\n  b: 1\n  c: 2\n\nd: 3\n";
        let found = uncommented(text);
        assert_eq!(
            found,
            [
                "values.yaml:5: `c: 2` has no comment",
                "values.yaml:7: `d: 3` has no comment"
            ]
        );
    }

    #[test]
    fn leaves_are_told_with_their_defaults() {
        let mut leaves = Vec::new();
        leaf("", &json!({"a": {"b": 1, "c": {}}, "d": ""}), &mut leaves);
        let shown: Vec<_> = leaves
            .iter()
            .map(|(path, default)| format!("{path}={default}"))
            .collect();
        assert_eq!(shown, ["a.b=1", "a.c={}", "d=\"\""]);
    }
}
