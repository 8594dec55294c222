//! The tests themselves, as cargo runs them.

use crate::shell::{cargo, run};
use anyhow::{Context, Result};

/// Runs the cluster's tests, one at a time: a small machine has cores for one.
///
/// # Errors
/// When one fails.
pub(super) fn test(faults: bool, filter: Option<&str>) -> Result<()> {
    println!("==> cluster tests");
    let mut tests = cargo(&[
        "test",
        "--workspace",
        "--no-fail-fast",
        "--test",
        "cluster_*",
    ]);
    if faults {
        tests.args(["--test", "fault_*"]);
    }
    tests.args(["--", "--ignored", "--test-threads=1", "--nocapture"]);
    run(tests.args(filter)).context("a test on the cluster failed")
}
