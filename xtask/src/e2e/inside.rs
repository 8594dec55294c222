//! The tests themselves, as cargo runs them.

use crate::shell::{cargo, command, run};
use anyhow::{Context, Result};
use chandler_e2e::SPACE_LABEL;
use chandler_e2e::stores::shared;

/// Runs the cluster's tests, one at a time: a small machine has cores for one, and some break what
/// all use. They are told where the registry is.
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
    tests.args(["--", "--ignored", "--test-threads=1", "--nocapture"]);
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
