//! Takes everything away that a cluster put on the machine, complete or half-made: what is found by
//! name counts, not only what was noted before an interruption.

use super::owner::{self, Lock};
use super::process::{self, Process};
use super::{cgroup, host, network, place};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take until nothing is running any more.
const LIMIT: Duration = Duration::from_secs(30);

/// Stops the cluster and removes it.
///
/// # Errors
/// When it is another repository's, or something can't be removed.
pub(crate) fn down() -> Result<()> {
    host::require_root()?;
    let lock = Lock::take()?;
    if owner::owner().is_none() && !is_anything_left() {
        println!("no cluster is up");
        lock.remove();
        return Ok(());
    }
    owner::claim(&lock)?;
    all(&lock)?;
    lock.remove();
    println!("the cluster is down; its logs stay in target/cluster/logs");
    Ok(())
}

/// Whether a cluster left anything where others could meet it.
pub(crate) fn is_anything_left() -> bool {
    Path::new(place::MACHINE).exists() || !network::all().is_empty() || cgroup::exists()
}

/// Everything that runs for the cluster: the processes that it noted, those in its network
/// namespaces, and those in its cgroups.
pub(crate) fn running() -> Vec<Process> {
    let named = process::names()
        .into_iter()
        .filter_map(|name| process::find(&name));
    let mut all: Vec<_> = named.collect();
    all.extend(process::inside(&network::all()));
    all.extend(process::with_ids(cgroup::processes()));
    all
}

/// Removes everything but the lock, the binaries and the logs.
///
/// # Errors
/// When something can't be removed.
pub(crate) fn all(_lock: &Lock) -> Result<()> {
    end_processes()?;
    for path in network::all() {
        network::remove(&path)?;
    }
    // Only an empty folder goes, so a namespace of someone else keeps it.
    let _ = fs::remove_dir(place::NAMESPACES);
    cgroup::remove_all().context("can't remove the cgroups")?;
    host::restore_settings()?;
    remove_folder(&place::folder().join("run"))?;
    remove_folder(Path::new(place::MACHINE))
}

/// A process may start others while it is being ended: so again, until there is none.
fn end_processes() -> Result<()> {
    let start = Instant::now();
    loop {
        let all = running();
        if all.is_empty() {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            bail!("these processes don't end: {all:?}");
        }
        for process in all {
            process.end(Duration::ZERO)?;
        }
    }
}

/// By `rm`, which also removes what a container's user was denied to change.
fn remove_folder(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut remove = shell::command("rm");
    shell::run(remove.args(["-rf", "--one-file-system"]).arg(path))
}
