//! The tests themselves, as cargo runs them.

use crate::shell::{cargo, run};
use anyhow::{Context, Result};

/// Runs the cluster's tests, one at a time: a small machine has cores for one.
///
/// # Errors
/// When one fails.
pub(super) fn test(filter: Option<&str>) -> Result<()> {
    println!("==> cluster tests");
    let mut tests = cargo(&[
        "test",
        "--workspace",
        "--no-fail-fast",
        "--test",
        "cluster_*",
        "--",
    ]);
    tests
        .args(["--ignored", "--test-threads=1", "--nocapture"])
        .args(filter);
    run(&mut tests).context("a test on the cluster failed")
}
