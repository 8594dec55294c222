//! `cargo xtask charts`: the Helm chart and the kustomizations, rendered by the real tools and
//! compared as objects; and what kstatus and Argo CD make of a model in every phase of its life.

mod compare;
mod documents;
mod health;
mod objects;
mod pods;
mod render;
mod values;

use anyhow::{Result, bail};
use objects::Objects;
use render::Tools;

/// The chart, below the repository's root.
const CHART: &str = "charts/chandler";
/// The whole installation by kustomize, and what makes the chart render the same.
const SAME: &[(&str, &[&str])] = &[
    ("config/default", &[]),
    (
        "config/overlays/monitoring",
        &["metrics.serviceMonitor.enabled=true"],
    ),
    ("config/overlays/node-cache", &["nodeCache.enabled=true"]),
    (
        "config/overlays/tls",
        &[
            "gateway.tls.secretName=chandler-gateway-tls",
            "gateway.service.port=443",
        ],
    ),
];

/// Checks everything.
///
/// # Errors
/// When a tool is missing or something is not as it should be; each finding is printed.
pub(crate) fn run() -> Result<()> {
    let tools = Tools::find()?;
    let mut findings = Vec::new();
    findings.extend(documents::version()?);
    findings.extend(documents::values()?);
    findings.extend(same(&tools)?);
    findings.extend(value_sets(&tools)?);
    findings.extend(values::refusals(&tools)?);
    findings.extend(health::check()?);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("the chart and the kustomizations are well and agree"),
        count => bail!("{count} things are wrong with charts/ or config/; see above"),
    }
    Ok(())
}

/// The chart and a kustomization must install the same objects.
fn same(tools: &Tools) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (folder, settings) in SAME {
        let chart = objects::parse(&tools.chart(&[], settings)?)?;
        let kustomization = objects::parse(&tools.kustomization(folder)?)?;
        println!("{folder}: {} objects", kustomization.len());
        findings.extend(named(folder, objects::check(&kustomization)));
        let differences = compare::compare(&chart, &kustomization);
        findings.extend(named(folder, differences));
    }
    Ok(findings)
}

/// The chart must be well with every set of values that it comes with.
fn value_sets(tools: &Tools) -> Result<Vec<String>> {
    let mut sets = values::sets()?;
    sets.insert(0, Vec::new());
    let mut findings = Vec::new();
    for set in sets {
        let name = set.first().map_or("default values", String::as_str);
        tools.lint(&set)?;
        let chart: Objects = objects::parse(&tools.chart(&set, &[])?)?;
        println!("{name}: {} objects", chart.len());
        findings.extend(named(name, objects::check(&chart)));
    }
    Ok(findings)
}

fn named(place: &str, findings: Vec<String>) -> Vec<String> {
    let named = findings.iter().map(|finding| format!("{place}: {finding}"));
    named.collect()
}
