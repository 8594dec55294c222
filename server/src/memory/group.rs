//! What control groups leave a process, in either version: its own group and all above it that can be seen.
//!
//! A process in a container usually sees its own group where the hierarchy is mounted. Outside of one the
//! whole tree is there, and `/proc/self/cgroup` tells the way.

use std::fs;
use std::path::{Path, PathBuf};

use super::field;

/// The files of a version.
#[derive(Clone, Copy, Debug)]
struct Names {
    limit: &'static str,
    used: &'static str,
    /// File pages, and those of them that are not on the disk yet, in `memory.stat`.
    pages: [&'static str; 2],
    unwritten: [&'static str; 2],
}

const FIRST: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    pages: ["total_active_file", "total_inactive_file"],
    unwritten: ["total_dirty", "total_writeback"],
};
const SECOND: Names = Names {
    limit: "memory.max",
    used: "memory.current",
    pages: ["active_file", "inactive_file"],
    unwritten: ["file_dirty", "file_writeback"],
};

/// The least that a group of this process has left, as the files below `root` tell it; `None` where none has
/// a limit.
pub(super) fn available(root: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(root.join(name)).ok();
    let (mounts, own) = (read("proc/self/mountinfo")?, read("proc/self/cgroup")?);
    let hierarchies = mounts.lines().filter_map(Hierarchy::parse);
    let left = hierarchies.flat_map(|hierarchy| {
        let names = hierarchy.names;
        let groups = hierarchy.groups(&own);
        groups.into_iter().filter_map(move |group| {
            let group = root.join(group.strip_prefix("/").unwrap_or(&group));
            left(&group, names)
        })
    });
    left.min()
}

/// A hierarchy that bounds memory.
#[derive(Debug)]
struct Hierarchy<'a> {
    names: Names,
    /// Whether lines of `/proc/self/cgroup` name controllers, memory among them.
    has_controllers: bool,
    /// Which group is seen where it is mounted.
    top: &'a str,
    mounted: &'a Path,
}

impl<'a> Hierarchy<'a> {
    /// Of a line of `/proc/self/mountinfo`: see proc(5).
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (top, mounted) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let names = match kind {
            "cgroup" if options.split(',').any(|option| option == "memory") => FIRST,
            "cgroup2" => SECOND,
            _ => return None,
        };
        Some(Self {
            names,
            has_controllers: kind == "cgroup",
            top,
            mounted: Path::new(mounted),
        })
    }

    /// The folders of the process's group and of those above it, as far as they can be seen.
    fn groups(&self, own: &str) -> Vec<PathBuf> {
        let path = own.lines().find_map(|line| self.path(line)).unwrap_or("");
        // A way that does not lead through what is mounted is told as another namespace sees it.
        let below = Path::new(path)
            .strip_prefix(self.top)
            .unwrap_or(Path::new(""));
        let ancestors = below.ancestors().map(|group| self.mounted.join(group));
        ancestors.collect()
    }

    /// The path of a line of `/proc/self/cgroup`, if it is this hierarchy's.
    fn path<'b>(&self, line: &'b str) -> Option<&'b str> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let is_own = match self.has_controllers {
            true => controllers.split(',').any(|name| name == "memory"),
            false => controllers.is_empty(),
        };
        is_own.then_some(path)
    }
}

/// What a group leaves, if it sets a limit. Pages of files count as free, unless they have to be written
/// first: the kernel drops them rather than kill.
fn left(group: &Path, names: Names) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let limit: u64 = read(names.limit)?.trim().parse().ok()?;
    let used: u64 = read(names.used)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let sum = |fields: [&str; 2]| -> u64 {
        let numbers = fields.iter().filter_map(|name| field(&stat, name));
        numbers.fold(0, u64::saturating_add)
    };
    let clean = sum(names.pages).saturating_sub(sum(names.unwritten));
    Some(limit.saturating_sub(used.saturating_sub(clean)))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MOUNTS_1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        35 31 0:32 TOP /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const OWN_1: &str = "9:cpu:/elsewhere\n4:memory:/pods/one\n0::/\n";
    const STAT_1: &str =
        "inactive_file 1\ntotal_inactive_file 60\ntotal_active_file 30\ntotal_dirty 10\n";
    const MOUNTS_2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A machine of these files.
    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn first(top: &str, group: &str) -> TempDir {
        let file = |name: &str| format!("sys/fs/cgroup/memory{group}/{name}");
        machine(&[
            ("proc/self/mountinfo", &MOUNTS_1.replace("TOP", top)),
            ("proc/self/cgroup", OWN_1),
            (&file("memory.limit_in_bytes"), "1000\n"),
            (&file("memory.usage_in_bytes"), "400\n"),
            (&file("memory.stat"), STAT_1),
        ])
    }

    #[test]
    fn a_group_of_the_first_version_is_found_wherever_it_is_seen() {
        // In the whole tree, above the process's own, and where a container has it.
        for (top, group) in [
            ("/", "/pods/one"),
            ("/", "/pods"),
            ("/pods/one", ""),
            ("/other", ""),
        ] {
            let machine = first(top, group);
            assert_eq!(available(machine.path()), Some(680), "{top} {group}");
        }
        assert_eq!(available(first("/", "/pods/two").path()), None);
    }

    #[test]
    fn of_several_groups_the_tightest_counts() {
        let file = |group: &str, name: &str| format!("sys/fs/cgroup/{group}{name}");
        let machine = machine(&[
            ("proc/self/mountinfo", MOUNTS_2),
            ("proc/self/cgroup", "0::/a/b\n"),
            (&file("a/b/", "memory.max"), "max\n"),
            (&file("a/b/", "memory.current"), "100\n"),
            (&file("a/", "memory.max"), "1000\n"),
            (&file("a/", "memory.current"), "900\n"),
            (
                &file("a/", "memory.stat"),
                "active_file 200\nfile_writeback 50\n",
            ),
            (&file("", "memory.max"), "2000\n"),
            (&file("", "memory.current"), "900\n"),
        ]);
        assert_eq!(available(machine.path()), Some(250));
        assert_eq!(super::super::available_below(machine.path()), Some(250));
    }

    #[test]
    fn without_a_limit_or_without_groups_nothing_is_told() {
        let file = "sys/fs/cgroup/memory.max";
        let machine_of = |own: &str| {
            machine(&[
                ("proc/self/mountinfo", MOUNTS_2),
                ("proc/self/cgroup", own),
                (file, "max\n"),
            ])
        };
        assert_eq!(available(machine_of("0::/\n").path()), None);
        assert_eq!(available(machine_of("nonsense").path()), None);
        assert_eq!(available(machine(&[]).path()), None);
    }
}
