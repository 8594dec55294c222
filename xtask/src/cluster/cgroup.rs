//! The cgroups under which the kubelets put their pods: one for each node, in every hierarchy of
//! version 1, or in the one of version 2. Version 1 is what the tests have run on.

use super::place::{self, Node};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A cgroup stays for a moment after its last process.
const REMOVE_LIMIT: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where one hierarchy is mounted.
#[derive(Debug, PartialEq, Eq)]
enum Hierarchy {
    First(PathBuf),
    Second(PathBuf),
}

impl Hierarchy {
    fn root(&self) -> &Path {
        match self {
            Self::First(path) | Self::Second(path) => path,
        }
    }
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't list the mounts")?;
    Ok(parse_mounts(&mounts))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    let lines = mounts.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let path = PathBuf::from(fields.get(1)?);
        match *fields.get(2)? {
            "cgroup" => Some(Hierarchy::First(path)),
            "cgroup2" => Some(Hierarchy::Second(path)),
            _ => None,
        }
    });
    lines.collect()
}

/// Where version 1 has controllers, a version 2 beside it has none, and the kubelet ignores it. The
/// runtime makes cgroups there all the same.
fn with_controllers(mut all: Vec<Hierarchy>) -> Vec<Hierarchy> {
    let is_first = |one: &Hierarchy| matches!(one, Hierarchy::First(_));
    if all.iter().any(is_first) {
        all.retain(is_first);
    }
    all
}

/// The root of a node's pods, as the kubelet's setting names it.
pub(crate) fn of_node(node: Node) -> String {
    format!("/{}/{node}", place::CGROUP)
}

/// Makes the cgroups of a node.
///
/// # Errors
/// When a hierarchy can't be written.
pub(crate) fn make(node: Node) -> Result<()> {
    for hierarchy in with_controllers(hierarchies()?) {
        let parent = hierarchy.root().join(place::CGROUP);
        let own = parent.join(node.to_string());
        if let Hierarchy::Second(root) = &hierarchy {
            pass_controllers_on(root)?;
        }
        make_one(hierarchy.root(), &parent)?;
        if matches!(hierarchy, Hierarchy::Second(_)) {
            pass_controllers_on(&parent)?;
        }
        make_one(&parent, &own)?;
    }
    Ok(())
}

/// Version 1 gives a new cpuset no processor, and so no process may enter it.
fn make_one(parent: &Path, own: &Path) -> Result<()> {
    fs::create_dir_all(own).with_context(|| format!("can't make {}", own.display()))?;
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = own.join(name);
        let is_empty = fs::read_to_string(&file).is_ok_and(|text| text.trim().is_empty());
        let is_second = own.join("cgroup.controllers").exists();
        if is_empty && !is_second {
            let value = fs::read_to_string(parent.join(name))?;
            fs::write(&file, value.trim())
                .with_context(|| format!("can't write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Version 2 gives a cgroup only the controllers that its parent passes on.
fn pass_controllers_on(path: &Path) -> Result<()> {
    let all = fs::read_to_string(path.join("cgroup.controllers"))?;
    let wanted: Vec<_> = all
        .split_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    fs::write(path.join("cgroup.subtree_control"), wanted.join(" ")).with_context(|| {
        format!(
            "can't pass controllers on from {}: a cgroup that has processes of its own can't",
            path.display()
        )
    })
}

/// Our cgroup, or a node's, in every hierarchy that has it.
fn find(path: &str) -> Vec<PathBuf> {
    let all = hierarchies().unwrap_or_default();
    let paths = all
        .iter()
        .map(|hierarchy| hierarchy.root().join(path.trim_start_matches('/')));
    paths.filter(|path| path.is_dir()).collect()
}

/// Whether there is any cgroup of ours.
pub(crate) fn exists() -> bool {
    !find(place::CGROUP).is_empty()
}

/// The ids of all processes in our cgroups.
pub(crate) fn processes() -> Vec<i32> {
    let mut pids = Vec::new();
    for folder in find(place::CGROUP)
        .iter()
        .flat_map(|folder| deepest_first(folder))
    {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    pids
}

/// Removes all our cgroups, which must have no processes.
///
/// # Errors
/// When the kernel keeps one.
pub(crate) fn remove_all() -> Result<()> {
    remove(place::CGROUP)
}

/// Removes those of a node. A kubelet that finds its dead pods' looks for their processes, a few
/// seconds for each.
///
/// # Errors
/// When the kernel keeps one.
pub(crate) fn remove_node(node: Node) -> Result<()> {
    remove(&of_node(node))
}

fn remove(path: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut last = None;
        for folder in find(path).iter().flat_map(|folder| deepest_first(folder)) {
            if let Err(error) = fs::remove_dir(&folder) {
                last = Some((folder, error));
            }
        }
        match last {
            None => return Ok(()),
            Some((folder, error)) if start.elapsed() > REMOVE_LIMIT => {
                return Err(error).with_context(|| format!("{} stays", folder.display()));
            }
            Some(_) => thread::sleep(LOOK_AGAIN),
        }
    }
}

/// A folder and all below it, children before their parents.
fn deepest_first(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(deepest_first(&entry.path()));
        }
    }
    all.push(folder.to_path_buf());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_version_counts_where_it_is_alone() {
        let first = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                     cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let both = parse_mounts(first);
        assert_eq!(both.len(), 2, "{both:?}");
        let expected = [Hierarchy::First("/sys/fs/cgroup/cpu".into())];
        assert_eq!(with_controllers(both), expected);
        let second = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nproc /proc proc rw 0 0\n";
        let expected = [Hierarchy::Second("/sys/fs/cgroup".into())];
        assert_eq!(with_controllers(parse_mounts(second)), expected);
    }

    #[test]
    fn children_come_before_their_parents() {
        let folder = std::env::temp_dir().join(format!("xtask-cgroup-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).expect("folders");
        let all = deepest_first(&folder);
        fs::remove_dir_all(&folder).expect("removed");
        let expected = [folder.join("a/b"), folder.join("a"), folder.clone()];
        assert_eq!(all, expected);
    }
}
