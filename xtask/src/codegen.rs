//! `cargo xtask codegen`: the files that the code writes and the repository keeps.

use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use std::fs;
use std::process::Command;

/// The CRD as it is generated, below the repository's root, and its copies: neither a chart nor a
/// kustomization may read a file outside its own folder.
const CRD: [&str; 3] = [
    "crds/yaml/modeldeployments.chandler.dev.yaml",
    "charts/chandler/files/crds/modeldeployments.chandler.dev.yaml",
    "config/crd/modeldeployments.chandler.dev.yaml",
];
/// The script that tells Argo CD a model's health.
pub(crate) const HEALTH: &str = "config/argocd/health.lua";
/// The same as a patch of Argo CD's ConfigMap.
const HEALTH_PATCH: &str = "config/argocd/argocd-cm.yaml";
/// Client-side apply keeps a copy in an annotation, which may not exceed 256 KiB; a small CRD
/// also keeps `kubectl explain` readable.
const CRD_MAX_BYTES: usize = 100_000;

/// Writes the generated files, or with `check` compares them.
///
/// # Errors
/// When a file is stale (with `check`) or too large.
pub(crate) fn run(check: bool) -> Result<()> {
    shell::build_workspace()?;
    let mut chandler = Command::new(layout::binary("chandler")?);
    let crd = shell::capture(chandler.arg("crd"))?;
    if crd.len() > CRD_MAX_BYTES {
        bail!(
            "the CRD would have {} bytes; at most {CRD_MAX_BYTES} are allowed",
            crd.len()
        );
    }
    for path in CRD {
        keep(path, &crd, check)?;
    }
    let health = layout::root().join(HEALTH);
    let health = fs::read_to_string(health).with_context(|| format!("can't read {HEALTH}"))?;
    keep(HEALTH_PATCH, &health_patch(&health), check)
}

/// Makes a committed file hold `text`, or with `check` tells where it does not.
fn keep(name: &str, text: &str, check: bool) -> Result<()> {
    let path = layout::root().join(name);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == text {
        println!("{name} is fresh ({} bytes)", text.len());
        return Ok(());
    }
    if check {
        bail!(
            "{name} is stale: {}; run `cargo xtask codegen`",
            first_difference(&committed, text)
        );
    }
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, text).with_context(|| format!("can't write {name}"))?;
    println!("wrote {name} ({} bytes)", text.len());
    Ok(())
}

/// Argo CD reads one script a kind from its ConfigMap, under a key of the group and the kind.
fn health_patch(script: &str) -> String {
    let mut patch = format!(
        "# Written from {HEALTH} by `cargo xtask codegen`.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
  resource.customizations.health.chandler.dev_ModelDeployment: |
"
    );
    for line in script.lines() {
        let indent = if line.is_empty() { "" } else { "    " };
        patch.push_str(indent);
        patch.push_str(line);
        patch.push('\n');
    }
    patch
}

fn first_difference(old: &str, new: &str) -> String {
    let mut pairs = old.lines().zip(new.lines()).enumerate();
    match pairs.find(|(_, (old, new))| old != new) {
        Some((index, (old, new))) => {
            format!(
                "line {} is `{}`, not `{}`",
                index + 1,
                old.trim(),
                new.trim()
            )
        }
        None => format!(
            "it has {} lines, not {}",
            old.lines().count(),
            new.lines().count()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(
            first_difference("a\nb\n", "a\nc\n"),
            "line 2 is `b`, not `c`"
        );
        assert_eq!(first_difference("", "a\n"), "it has 0 lines, not 1");
    }

    #[test]
    fn the_health_script_goes_into_the_patch_unchanged() {
        let script = "local a = 1\n\nreturn a\n";
        let patch: serde_yaml::Value = serde_yaml::from_str(&health_patch(script)).expect("YAML");
        let key = "resource.customizations.health.chandler.dev_ModelDeployment";
        assert_eq!(patch["data"][key], script);
    }
}
