//! What the machine must have, and what the cluster changes of it for its time.

use super::{owner, place};
use crate::debian;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What Debian brings, by the file that tells whether it is there.
const PACKAGES: &[debian::Needed] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("nsenter", "util-linux"),
    ("faketime", "faketime"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/lib/cni/host-local", "containernetworking-plugins"),
    ("/usr/lib/cni/portmap", "containernetworking-plugins"),
];

/// Kernel settings that are the whole machine's: the kubelet writes the first ones, and many watchers
/// of files need the last two.
const SETTINGS: &[(&str, Option<u64>)] = &[
    ("kernel/keys/root_maxbytes", None),
    ("kernel/keys/root_maxkeys", None),
    ("kernel/panic", None),
    ("kernel/panic_on_oops", None),
    ("vm/overcommit_memory", None),
    ("vm/panic_on_oom", None),
    ("fs/inotify/max_user_instances", Some(8192)),
    ("fs/inotify/max_user_watches", Some(1_048_576)),
];

/// Folders that a node has for itself alone; each hides the machine's.
pub(crate) const PRIVATE_FOLDERS: &[&str] = &["/var/lib", "/var/log", "/run"];

/// # Errors
/// When this is not root.
pub(crate) fn require_root() -> Result<()> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        bail!(
            "a cluster takes network namespaces, mounts and cgroups: run this as root \
             (`cargo xtask cluster build` works without)"
        );
    }
    Ok(())
}

/// Installs what is missing, and says so.
///
/// # Errors
/// When something is missing and can't be installed, or the repository lies where a node would
/// not see it.
pub(crate) fn prepare() -> Result<()> {
    let root = layout::root();
    if let Some(folder) = PRIVATE_FOLDERS.iter().find(|path| root.starts_with(path)) {
        bail!("the repository lies below {folder}, which a node replaces by its own: move it");
    }
    debian::install(PACKAGES)
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// Notes the settings as they are and changes what must be changed.
///
/// # Errors
/// When they can't be noted. A change that the kernel refuses is told and not fatal.
pub(crate) fn change_settings() -> Result<()> {
    let values = SETTINGS.iter().filter_map(|(name, _)| {
        let value = fs::read_to_string(setting(name)).ok()?;
        Some((*name, value.trim().to_owned()))
    });
    // Noted already: then those are the machine's, and what is now may be the cluster's.
    if !Path::new(place::MACHINE).join("settings.json").exists() {
        owner::write("settings.json", &values.collect::<BTreeMap<_, _>>())?;
    }
    for (name, wanted) in SETTINGS {
        let is_enough = |wanted: u64| {
            let now = fs::read_to_string(setting(name)).unwrap_or_default();
            now.trim().parse().is_ok_and(|now: u64| now >= wanted)
        };
        if let Some(wanted) = wanted.filter(|wanted| !is_enough(*wanted))
            && let Err(error) = fs::write(setting(name), wanted.to_string())
        {
            println!("{name} stays as it is: {error}");
        }
    }
    Ok(())
}

/// Puts the noted settings back.
///
/// # Errors
/// When the kernel refuses one.
pub(crate) fn restore_settings() -> Result<()> {
    let noted: BTreeMap<String, String> = owner::read("settings.json").unwrap_or_default();
    for (name, value) in noted {
        let path = setting(&name);
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now.trim() != value {
            fs::write(&path, &value).with_context(|| format!("can't set {name} to {value}"))?;
        }
    }
    Ok(())
}
