//! NVIDIA's compiler and headers, as they are published for pip.

use super::{VERSION, folder};
use crate::venv;
use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Their versions: a newer compiler emits code that the drivers of CUDA 13.0 refuse.
const REQUIREMENTS: &str = "xtask/cuda/requirements.txt";

/// Fetches the toolkit if it is not there yet, and tells where its root is.
///
/// # Errors
/// When a package can't be fetched, or holds no compiler.
pub(super) fn ensure() -> Result<PathBuf> {
    let packages = folder().join("toolkit");
    venv::packages(&packages, REQUIREMENTS)?;
    let root = packages.join("nvidia/cu13");
    if !root.join("bin/nvcc").is_file() {
        bail!(
            "{} has no bin/nvcc: remove {} and try again",
            root.display(),
            packages.display()
        );
    }
    Ok(root)
}

/// Lets a build use the toolkit.
///
/// # Errors
/// When the search path can't be made.
pub(super) fn set(command: &mut Command, root: &Path) -> Result<()> {
    let found = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(root.join("bin")).chain(env::split_paths(&found));
    let path = env::join_paths(folders).context("can't put the toolkit into PATH")?;
    command
        .env("PATH", path)
        .env("CUDA_HOME", root)
        .env("CUDA_PATH", root)
        .env("NVCC", root.join("bin/nvcc"))
        .env("CUDARC_CUDA_VERSION", VERSION);
    Ok(())
}
