//! Access to the API server as one of the cluster's own accounts.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chandler_e2e::layout;
use serde_json::{Value, json};

use crate::kubectl;

/// Longer than any test takes.
const LIFETIME: &str = "--duration=1h";

/// Writes a file for `KUBECONFIG` that speaks as a ServiceAccount, with no right but its own.
///
/// # Errors
/// There is no such account.
pub(crate) fn of(namespace: &str, account: &str) -> Result<PathBuf> {
    let token = kubectl(&["create", "token", "-n", namespace, account, LIFETIME])?;
    let own = kubectl(&[
        "config",
        "view",
        "--raw",
        "--minify",
        "--flatten",
        "-o",
        "json",
    ])?;
    let mut config: Value = serde_json::from_str(&own)?;
    let user = config.pointer_mut("/users/0/user");
    *user.context("no user in KUBECONFIG")? = json!({"token": token.trim()});
    let folder = layout::root().join("target/tmp");
    let path = folder.join(format!("{namespace}-{account}.kubeconfig"));
    fs::create_dir_all(&folder)?;
    fs::write(&path, config.to_string())?;
    Ok(path)
}
