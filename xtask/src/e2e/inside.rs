//! The tests themselves, as cargo runs them.

use crate::shell::{cargo, command, run};
use anyhow::{Context, Result};
use chandler_e2e::SPACE_LABEL;
use chandler_e2e::stores::shared;

/// How many tests may share the cluster. They wait most of their time; with more of them, what a
/// small machine has of cores and memory makes them wait for each other.
const SIDE_BY_SIDE: &str = "--test-threads=3";

/// Runs the cluster's tests. Those that break or count what all use have it for themselves, by their
/// own word. They are told where the registry is.
///
/// # Errors
/// When one fails.
pub(super) fn test(filters: &[String], registry: &str) -> Result<()> {
    println!("==> cluster tests");
    let mut tests = cargo(&[
        "test",
        "--workspace",
        "--no-fail-fast",
        "--test",
        "cluster",
        "--test",
        "fault",
    ]);
    tests.args(["--", "--ignored", SIDE_BY_SIDE, "--nocapture"]);
    tests.env(shared::REGISTRY, registry);
    run(tests.args(filters)).context("a test on the cluster failed")
}

/// Waits until the namespaces of all tests are gone: nothing may hold them.
///
/// # Errors
/// When one stays.
pub(super) fn wait_until_cleared() -> Result<()> {
    let wait = ["wait", "--for=delete", "--timeout=300s", "namespaces"];
    let of_tests = ["--selector", SPACE_LABEL];
    run(command("kubectl").args(wait).args(of_tests)).context("a test's namespace stays")
}
