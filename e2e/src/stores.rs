//! Real stores of models: an S3 service and an OCI registry, from `e2e/stores/`.

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
/// A free port that only this machine reaches.
const LOOPBACK: &str = "127.0.0.1:0";

/// What the stores of a cluster's tests hold, and who may read it.
pub mod shared {
    /// Where the small embeddings model is in the S3 service: a folder of a bucket.
    pub const FOLDER: &str = "models/small/embeddings";
    /// Name and secret of the key that the S3 service knows.
    pub const KEY: (&str, &str) = ("AKIAE2E", "a-key-of-the-tests");
    /// The same model in the registry.
    pub const ARTIFACT: &str = "acme/embeddings";
    /// Its tag.
    pub const TAG: &str = "v1";
    /// User and password that the registry lets in.
    pub const USER: (&str, &str) = ("reader", "a-password-of-the-tests");
    /// Tells the tests the `host:port` of the registry.
    pub const REGISTRY: &str = "CHANDLER_REGISTRY";
}

/// A running store; it ends when dropped.
#[derive(Debug)]
pub struct Store {
    _process: Process,
    address: String,
}

impl Store {
    /// An S3 service on loopback that takes only requests signed with the key, if there is one. A
    /// seed is a bucket, or `bucket/folder`, and the folder of its objects.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn s3(seeds: &[(&str, &Path)], key: Option<(&str, &str)>) -> Result<Self> {
        Self::s3_at(LOOPBACK, seeds, key)
    }

    /// The same at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn s3_at(
        address: &str,
        seeds: &[(&str, &Path)],
        key: Option<(&str, &str)>,
    ) -> Result<Self> {
        let mut flags = vec!["--listen", address];
        if let Some((name, secret)) = key {
            flags.extend(["--access-key", name, "--secret-key", secret]);
        }
        Self::start("s3", seeds, &flags)
    }

    /// An OCI registry on loopback that lets only the user in, if there is one. A seed is
    /// `name:tag` and the folder whose files are the artifact's layers. Blobs are kept in the folder
    /// `blobs`, under `sha256/<hex>`.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn oci(seeds: &[(&str, &Path)], user: Option<(&str, &str)>, blobs: &Path) -> Result<Self> {
        Self::oci_at(LOOPBACK, seeds, user, Some(blobs))
    }

    /// The same at an address, where port 0 takes a free one. Without a folder, blobs are kept in
    /// memory.
    ///
    /// # Errors
    /// When it can't be built or does not start.
    pub fn oci_at(
        address: &str,
        seeds: &[(&str, &Path)],
        user: Option<(&str, &str)>,
        blobs: Option<&Path>,
    ) -> Result<Self> {
        let mut flags = vec!["--listen", address];
        if let Some(blobs) = blobs {
            let blobs = blobs.to_str().context("the folder's name is no text")?;
            flags.extend(["--blobs", blobs]);
        }
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
