//! The tools that render.

use super::CHART;
use crate::cluster::build;
use crate::shell;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The release and the namespace for which chart and kustomization must agree.
const RELEASE: &str = "chandler";
const NAMESPACE: &str = "chandler-system";

/// Helm and kubectl, of the versions that the cluster's tests use.
#[derive(Debug)]
pub(super) struct Tools {
    helm: PathBuf,
    kubectl: PathBuf,
}

impl Tools {
    /// # Errors
    /// When one has not been built.
    pub(super) fn find() -> Result<Self> {
        Ok(Self {
            helm: build::program("helm")?,
            kubectl: build::program("kubectl")?,
        })
    }

    /// The chart's objects with these value files and settings, as YAML.
    pub(super) fn chart(&self, files: &[String], settings: &[&str]) -> Result<String> {
        shell::capture(&mut self.template(files, settings))
    }

    /// Whether the chart takes these settings.
    pub(super) fn takes(&self, settings: &[&str]) -> bool {
        shell::succeeds(&mut self.template(&[], settings))
    }

    /// Helm's own check of the chart.
    pub(super) fn lint(&self, files: &[String]) -> Result<()> {
        let mut lint = shell::command(&self.helm);
        lint.args(["lint", "--strict", "--quiet", CHART]);
        lint.args(["--kube-version", build::KUBERNETES]);
        with_values(&mut lint, files);
        shell::capture(&mut lint).map(drop)
    }

    /// The objects of a kustomization, as YAML.
    pub(super) fn kustomization(&self, folder: &str) -> Result<String> {
        shell::capture(shell::command(&self.kubectl).args(["kustomize", folder]))
            .with_context(|| format!("{folder} can't be built"))
    }

    fn template(&self, files: &[String], settings: &[&str]) -> Command {
        let mut template = shell::command(&self.helm);
        template.args(["template", RELEASE, CHART, "--namespace", NAMESPACE]);
        // Without a cluster to ask, helm takes the version that it was built with.
        template.args(["--kube-version", build::KUBERNETES]);
        with_values(&mut template, files);
        for setting in settings {
            template.args(["--set", setting]);
        }
        template
    }
}

fn with_values(command: &mut Command, files: &[String]) {
    for file in files {
        command.args(["--values", file]);
    }
}
