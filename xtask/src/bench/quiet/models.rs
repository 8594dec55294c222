//! The models that are to rest: real servers, each with its own copy of a small embeddings model.

use super::kubectl;
use crate::e2e::hub::EMBEDDINGS;
use anyhow::{Result, bail};
use std::fmt::Write;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "quiet";
/// Models that start together: a small machine has cores for a few.
const TOGETHER: u16 = 10;
/// For those that start together.
const TIMEOUT: &str = "--timeout=600s";

/// Models that were applied.
#[derive(Debug)]
pub(super) struct Models {
    /// From the first one applied until the last one answered.
    pub(super) started_in: Duration,
}

/// # Errors
/// When there are models: whose requests they cause could not be told.
pub(super) fn require_none() -> Result<()> {
    let all = kubectl::ask(&[
        "get",
        "modeldeployments",
        "--all-namespaces",
        "--output=name",
    ])?;
    if !all.trim().is_empty() {
        bail!("there are models already, delete them first:\n{all}");
    }
    Ok(())
}

impl Models {
    /// Applies so many and waits until each of them answers.
    ///
    /// # Errors
    /// When one does not come to that.
    pub(super) fn apply(count: u16) -> Result<Self> {
        let start = Instant::now();
        kubectl::ask(&["create", "namespace", NAMESPACE])?;
        for first in (0..count).step_by(usize::from(TOGETHER)) {
            let batch = first..count.min(first.saturating_add(TOGETHER));
            kubectl::send(&["apply", "--server-side"], &manifest(batch.clone()))?;
            let all = [
                "wait",
                "modeldeployment",
                "--all",
                "--namespace",
                NAMESPACE,
                TIMEOUT,
            ];
            // In turn: Ready is of this generation, and then nothing is left to do.
            for condition in ["Ready=True", "Reconciling=False"] {
                let holds = format!("--for=condition={condition}");
                kubectl::ask(&[&all[..], &[&holds]].concat())?;
            }
            let seconds = start.elapsed().as_secs();
            println!("{} of {count} models answer ({seconds} s)", batch.end);
        }
        Ok(Self {
            started_in: start.elapsed(),
        })
    }

    /// Replicas that serve.
    ///
    /// # Errors
    /// When that can't be asked for.
    pub(super) fn serving(&self) -> Result<u32> {
        let ready = "jsonpath={range .items[*]}{.status.readyReplicas}{\"\\n\"}{end}";
        let all = [
            "get",
            "modeldeployments",
            "--namespace",
            NAMESPACE,
            "--output",
            ready,
        ];
        let told = kubectl::ask(&all)?;
        Ok(told
            .lines()
            .filter_map(|line| line.parse::<u32>().ok())
            .sum())
    }

    /// Removes all of them and waits until they are gone.
    ///
    /// # Errors
    /// When that does not come.
    pub(super) fn remove(&self) -> Result<()> {
        kubectl::run(&["delete", "namespace", NAMESPACE, TIMEOUT])
    }
}

fn manifest(numbers: std::ops::Range<u16>) -> String {
    let mut text = String::new();
    for number in numbers {
        let _ = writeln!(
            text,
            "---
apiVersion: chandler.dev/v1alpha1
kind: ModelDeployment
metadata: {{name: quiet-{number}, namespace: {NAMESPACE}}}
spec:
  model: {{source: 'hf://{EMBEDDINGS}'}}
  server:
    drainSeconds: 1
    resources: {{requests: {{cpu: 5m, memory: 64Mi}}}}
  replicas: 1"
        );
    }
    text
}
