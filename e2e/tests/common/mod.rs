//! What several of these programs do alike.

#![allow(dead_code)] // Each test file uses its part.

use chandler_e2e::Api;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// A manifest of the model `name`, in a folder of its own, and its path.
pub(crate) fn manifest(name: &str, spec: &Value) -> (TempDir, String) {
    let manifest = json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": spec,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.yaml");
    fs::write(&path, manifest.to_string()).expect("the manifest is written");
    let path = path.display().to_string();
    (folder, path)
}

/// Asks the model for an embedding.
///
/// # Errors
/// What came in its place.
pub(crate) fn embed(api: &Api, model: &str, input: &str) -> Result<(), String> {
    let body = json!({"model": model, "input": input});
    let reply = api
        .post("/v1/embeddings", &body)
        .map_err(|error| format!("{error:#}"))?;
    match reply.status {
        200 => Ok(()),
        status => Err(format!("status {status}: {}", reply.text)),
    }
}
