//! Running a command where all of the cluster can be reached: nodes, pods and Services by address
//! and by name.

use super::{host, owner, place, process};
use crate::shell;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::process::CommandExt;

/// Replaces this process by the command: its status and signals are the command's own.
///
/// # Errors
/// When no cluster is up, or the command can't be started.
pub(crate) fn run(command: &[String]) -> Result<()> {
    host::require_root()?;
    owner::require()?;
    let bin = place::folder().join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))?;
    // In a mount namespace of its own, names are asked of the cluster's name server.
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let mut nsenter = shell::command("nsenter");
    nsenter
        .arg(format!("--net={}", place::control_network().display()))
        .args(["--", "unshare", "--mount", "--propagation=private"])
        .args(["--", "sh", "-c", script])
        .arg(place::run("resolv.conf"))
        .args(command)
        .env("PATH", path)
        .env("KUBECONFIG", place::kubeconfig());
    nsenter.current_dir(std::env::current_dir()?);
    Err(nsenter.exec()).context("can't run nsenter")
}

/// Goes back to the machine's mounts when a command that [`run`] started calls `xtask` in turn:
/// what is mounted beside them, such as a node's network namespace, no later command would find.
///
/// # Errors
/// When it can't be left.
pub(crate) fn leave() -> Result<()> {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    // Every process of the control plane has the mounts of the command that started it.
    let Some(etcd) = process::find("etcd") else {
        return Ok(());
    };
    if mounts("self") == mounts(&etcd.pid.to_string()) {
        return Ok(());
    }
    let mut nsenter = shell::command("nsenter");
    nsenter
        .arg(format!("--target={}", etcd.pid))
        .args(["--mount", "--", "sh", "-c", "cd \"$0\" && exec \"$@\""])
        .arg(std::env::current_dir()?)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1));
    Err(nsenter.exec()).context("can't run nsenter")
}
