//! What Debian's packages bring.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Stdio;

/// A file that tells whether a package is there, by its name on the search path or absolute, and
/// the package.
pub(crate) type Needed = (&'static str, &'static str);

/// Installs what is missing, and says so.
///
/// # Errors
/// When something is missing and can't be installed.
pub(crate) fn install(needed: &[Needed]) -> Result<()> {
    let packages = missing(needed);
    if packages.is_empty() {
        return Ok(());
    }
    println!("installing {}", packages.join(", "));
    let words = || {
        format!(
            "can't install {}; on a system without apt-get, install what they contain by hand",
            packages.join(", ")
        )
    };
    shell::run(shell::command("apt-get").args(["update", "--quiet", "--quiet"]))
        .with_context(words)?;
    let mut install = shell::command("apt-get");
    install
        .args(["install", "--yes", "--quiet", "--quiet"])
        .arg("--no-install-recommends")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(&packages)
        .stdout(Stdio::null());
    shell::run(&mut install).with_context(words)?;
    match missing(needed).as_slice() {
        [] => Ok(()),
        rest => bail!("{} are installed and yet incomplete", rest.join(", ")),
    }
}

/// The packages of what is missing.
pub(crate) fn missing(needed: &[Needed]) -> Vec<&'static str> {
    let missing = needed.iter().filter(|(file, _)| find(file).is_none());
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Where a program is, be it one for administrators.
pub(crate) fn find(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    // An absolute path replaces the folder that it is joined to.
    let mut paths = folders.map(|folder| folder.join(file));
    paths.find(|path| path.exists())
}
