//! Python's packages below `target/`, in virtual environments and without, kept as long as their requirements stand.

use crate::shell;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
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
    let stamp = Stamp::new(&folder, requirements)?;
    if stamp.is_fresh() && python.is_file() {
        return Ok(python);
    }
    make(&folder)?;
    install(&python, &[], requirements)?;
    stamp.put()?;
    Ok(python)
}

/// Unpacks the packages of a requirements file into `folder`, without those that they ask for, unless they are
/// there already.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn packages(folder: &Path, requirements: &str) -> Result<()> {
    let stamp = Stamp::new(folder, requirements)?;
    if stamp.is_fresh() {
        return Ok(());
    }
    clear(folder)?;
    let target = [
        "--no-deps".as_ref(),
        "--target".as_ref(),
        folder.as_os_str(),
    ];
    install(&python_with_pip()?, &target, requirements)?;
    stamp.put()
}

/// What tells whether a folder was made from the requirements as they are now.
struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    fn new(folder: &Path, requirements: &str) -> Result<Self> {
        let wanted = fs::read(layout::root().join(requirements))
            .with_context(|| format!("can't read {requirements}"))?;
        Ok(Self {
            file: folder.join(STAMP),
            hash: format!("{:x}", Sha256::digest(&wanted)),
        })
    }

    fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|made_from| made_from == self.hash)
    }

    fn put(&self) -> Result<()> {
        fs::write(&self.file, &self.hash)
            .with_context(|| format!("can't write {}", self.file.display()))
    }
}

fn install(python: &Path, options: &[&OsStr], requirements: &str) -> Result<()> {
    let arguments = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let mut pip = shell::command(python);
    pip.args(arguments)
        .args(options)
        .arg("-r")
        .arg(requirements);
    shell::run(&mut pip)
        .with_context(|| format!("can't install {requirements}; is a package index reachable?"))
}

fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("can't replace {}", folder.display()))?;
    }
    Ok(())
}

/// Makes an empty environment, in place of any older one.
fn make(folder: &Path) -> Result<()> {
    clear(folder)?;
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
