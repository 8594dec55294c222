//! Python's virtual environments below `target/`, kept as long as their requirements stand.

use crate::shell;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Holds the hash of the requirements that an environment was made from.
const STAMP: &str = ".requirements.sha256";

/// Makes the environment at `folder` from a requirements file, both below the repository's
/// root, unless it is there already; returns its Python.
///
/// # Errors
/// When python3 or its venv module is missing, or a package can't be installed.
pub(crate) fn ensure(folder: &str, requirements: &str) -> Result<PathBuf> {
    let folder = layout::root().join(folder);
    let python = folder.join("bin/python");
    let wanted = fs::read(layout::root().join(requirements))
        .with_context(|| format!("can't read {requirements}"))?;
    let hash = format!("{:x}", Sha256::digest(&wanted));
    let stamp = folder.join(STAMP);
    let is_fresh = fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == hash);
    if is_fresh && python.is_file() {
        return Ok(python);
    }
    make(&folder)?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ];
    shell::run(shell::command(&python).args(install).arg(requirements))
        .with_context(|| format!("can't install {requirements}; is a package index reachable?"))?;
    fs::write(&stamp, hash).with_context(|| format!("can't write {}", stamp.display()))?;
    Ok(python)
}

/// Makes an empty environment, in place of any older one.
fn make(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("can't replace {}", folder.display()))?;
    }
    shell::run(shell::command("python3").args(["-m", "venv"]).arg(folder)).context(
        "can't make a virtual environment: install Python 3.9 or later with its venv module \
         (Debian and Ubuntu: the package python3-venv)",
    )
}

/// A Python that has pip: the system's own, or an environment's.
///
/// # Errors
/// When there is neither.
pub(crate) fn python_with_pip() -> Result<PathBuf> {
    if shell::succeeds(shell::command("python3").args(["-m", "pip", "--version"])) {
        return Ok("python3".into());
    }
    let folder = layout::root().join("target/venv-pip");
    let python = folder.join("bin/python");
    if !shell::succeeds(shell::command(&python).args(["-m", "pip", "--version"])) {
        make(&folder)?;
    }
    Ok(python)
}
