//! Real stores of models on loopback: an S3 service and an OCI registry, from `e2e/stores/`.

use crate::process::Process;
use crate::{PATIENCE, layout};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The module's folder, below the repository's root.
const MODULE: &str = "e2e/stores";
/// Where it is built, below the repository's root.
const BUILT: &str = "target/stores";

/// A running store; it ends when dropped.
#[derive(Debug)]
pub struct Store {
    _process: Process,
    address: String,
}

impl Store {
    /// An S3 service that takes only requests signed with the key, if there is one. A seed is a
    /// bucket and the folder of its objects.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn s3(seeds: &[(&str, &Path)], key: Option<(&str, &str)>) -> Result<Self> {
        let mut flags = Vec::new();
        if let Some((name, secret)) = key {
            flags.extend(["--access-key", name, "--secret-key", secret]);
        }
        Self::start("s3", seeds, &flags)
    }

    /// An OCI registry that lets only the user in, if there is one. A seed is `name:tag` and the
    /// folder whose files are the artifact's layers. Blobs are kept in the folder `blobs`, under
    /// `sha256/<hex>`.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn oci(seeds: &[(&str, &Path)], user: Option<(&str, &str)>, blobs: &Path) -> Result<Self> {
        let blobs = blobs.to_str().context("the folder's name is no text")?;
        let mut flags = vec!["--blobs", blobs];
        if let Some((name, password)) = user {
            flags.extend(["--username", name, "--password", password]);
        }
        Self::start("oci", seeds, &flags)
    }

    fn start(kind: &str, seeds: &[(&str, &Path)], flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(build()?);
        command.args([kind, "--exit-with-parent"]).args(flags);
        for (name, folder) in seeds {
            command.arg("--seed");
            command.arg(format!("{name}={}", folder.display()));
        }
        let process = Process::start(&mut command)?;
        let address = process
            .output()
            .wait_events("the store's address", PATIENCE, |events| {
                let mut addresses = events.iter().filter(|event| event["event"] == "listening");
                addresses.find_map(|event| event["addr"].as_str().map(str::to_owned))
            })?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// Its `host:port`. It speaks plain HTTP.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Builds the stores, which takes no time when nothing changed. Gives the program's path.
///
/// # Errors
/// When Go is missing, or the build fails.
pub fn build() -> Result<PathBuf> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = layout::root().join(BUILT);
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let program = folder.join("stores");
    // Moved into place whole: another test program may be starting the one that is there.
    let draft = folder.join(format!("stores.{}", std::process::id()));
    let mut go = Command::new("go");
    go.args([
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-o",
    ])
    .arg(&draft)
    .arg(".")
    .current_dir(layout::root().join(MODULE))
    .env("CGO_ENABLED", "0");
    let output = go
        .output()
        .context("the stores of the tests are written in Go: install Go 1.25 or later")?;
    if !output.status.success() {
        bail!(
            "can't build {MODULE}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(&draft, &program).context("can't put the stores in their place")?;
    Ok(program)
}
