//! Where the repository keeps what the harness needs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The embeddings model's folder, below the repository's root.
pub const EMBEDDING_MODEL: &str = "target/models/all-minilm-l6-v2";
/// The chat model's file, below the repository's root.
pub const CHAT_MODEL: &str = "target/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
/// The virtual environment of the official client, below the repository's root.
pub const CLIENT_VENV: &str = "target/venv-client";
/// The virtual environment of what checks OpenAPI documents, below the repository's root.
pub const OPENAPI_VENV: &str = "target/venv-openapi";

/// The packages of the official JavaScript client, below the repository's root.
pub const CLIENT_NPM: &str = "target/client-npm";

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A binary of the workspace: beside the running executable, or one folder up, where the
/// binaries lie as a test sees it.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this executable is unknown")?;
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} has not been built: run `cargo build --workspace` first"))
}

/// A file or folder of a demo model, given as one of the constants here.
///
/// # Errors
/// When the models have not been fetched.
pub fn model(relative: &str) -> Result<PathBuf> {
    let path = root().join(relative);
    if !path.exists() {
        bail!("{relative} is missing: run `cargo xtask models` first");
    }
    Ok(path)
}

/// A `file://` source for a path.
#[must_use]
pub fn file_source(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// The Python of the official client's virtual environment.
///
/// # Errors
/// When that environment has not been made.
pub fn client_python() -> Result<PathBuf> {
    python(CLIENT_VENV)
}

/// The Python of what checks OpenAPI documents; its programs lie beside it.
///
/// # Errors
/// When that environment has not been made.
pub fn openapi_python() -> Result<PathBuf> {
    python(OPENAPI_VENV)
}

fn python(environment: &str) -> Result<PathBuf> {
    let path = root().join(environment).join("bin/python");
    if !path.exists() {
        bail!("{environment} is missing: run `cargo xtask ci` first, which makes it");
    }
    Ok(path)
}

/// The JavaScript client's module, for a script to import.
///
/// # Errors
/// When it has not been installed.
pub fn client_npm_module() -> Result<PathBuf> {
    let path = root()
        .join(CLIENT_NPM)
        .join("node_modules/openai/index.mjs");
    if !path.exists() {
        bail!("{CLIENT_NPM} is missing: run `cargo xtask ci` first, which installs it");
    }
    Ok(path)
}
