//! One machine has at most one cluster: names, addresses and cgroups are the machine's. Who has it
//! is written down there, so that two copies of the repository don't undo each other's work.

use super::{clear, place};
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The right to change the machine's cluster, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for others that change the cluster.
    ///
    /// # Errors
    /// When the lock's file can't be made.
    pub(crate) fn take() -> Result<Self> {
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(place::LOCK)
                .with_context(|| format!("can't write {}", place::LOCK))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    println!("another command changes the cluster; waiting for it to end");
                    file.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error).context("can't lock"),
            }
            // Whoever took the cluster down removed the file: then this lock is on nothing.
            let is_current = fs::metadata(place::LOCK)
                .is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if is_current {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Gives the lock up and leaves no file behind.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(place::LOCK);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    /// The repository that the cluster was started from.
    repository: PathBuf,
}

/// What the cluster was made as; written when it was first ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) nodes: u8,
    /// What each node offers of `nvidia.com/gpu`.
    pub(crate) gpus: u32,
}

/// The repository that has the cluster, or had it and left something behind.
pub(crate) fn owner() -> Option<PathBuf> {
    let owner: Owner = read("owner.json")?;
    Some(owner.repository)
}

/// Makes this repository the owner. What another one left behind is cleared, if nothing of it runs.
///
/// # Errors
/// When another repository's cluster is running.
pub(crate) fn claim(lock: &Lock) -> Result<()> {
    if let Some(other) = owner().filter(|owner| *owner != layout::root()) {
        let exists = other.is_dir();
        if exists && !clear::running().is_empty() {
            bail!(
                "the cluster of {} is running, and a machine can have only one: stop it with \
                 `cargo xtask cluster down` in that folder",
                other.display()
            );
        }
        println!("clearing what the cluster of {} left", other.display());
        clear::all(lock)?;
    }
    let repository = layout::root();
    write("owner.json", &Owner { repository })
}

/// The running cluster of this repository, if it was ever ready.
pub(crate) fn cluster() -> Option<Cluster> {
    let is_ours = owner().is_some_and(|owner| owner == layout::root());
    read("cluster.json").filter(|_| is_ours)
}

/// Notes that the cluster was ready, and with what.
pub(crate) fn write_cluster(cluster: Cluster) -> Result<()> {
    write("cluster.json", &cluster)
}

/// The running cluster.
///
/// # Errors
/// When this repository has none.
pub(crate) fn require() -> Result<Cluster> {
    match (cluster(), owner()) {
        (Some(cluster), _) => Ok(cluster),
        (None, Some(owner)) if owner != layout::root() => {
            bail!("the cluster on this machine is that of {}", owner.display())
        }
        (None, _) => bail!("no cluster is up: run `cargo xtask cluster up` first"),
    }
}

/// Reads a fact about the machine.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(name: &str) -> Option<T> {
    let bytes = fs::read(Path::new(place::MACHINE).join(name)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Writes a fact about the machine, whole or not at all.
pub(crate) fn write<T: Serialize>(name: &str, value: &T) -> Result<()> {
    let path = Path::new(place::MACHINE).join(name);
    fs::create_dir_all(place::MACHINE)?;
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec_pretty(value)?)?;
    fs::rename(&draft, &path).with_context(|| format!("can't write {}", path.display()))
}
