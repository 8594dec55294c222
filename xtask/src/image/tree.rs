//! A tree of files as a tar that is the same each time: sorted, without times, owned by root.

use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Component, Path};
use tar::{Builder, EntryType, Header};

/// Files and folders by path, below the root and without a leading slash.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
}

impl Tree {
    /// Adds a file, and the folders above it.
    pub(crate) fn file(&mut self, path: impl AsRef<Path>, mode: u32, bytes: Vec<u8>) {
        let path = self.add_parents(path.as_ref());
        self.entries.insert(path, Entry::File { mode, bytes });
    }

    /// Adds a folder, and those above it.
    pub(crate) fn folder(&mut self, path: impl AsRef<Path>, mode: u32) {
        let path = self.add_parents(path.as_ref());
        self.entries.insert(path, Entry::Folder { mode });
    }

    fn add_parents(&mut self, path: &Path) -> String {
        let mut whole = String::new();
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            if !whole.is_empty() {
                let parent = Entry::Folder { mode: 0o755 };
                self.entries.entry(whole.clone()).or_insert(parent);
                whole.push('/');
            }
            whole.push_str(&name.to_string_lossy());
        }
        whole
    }

    /// The paths of all entries.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// # Errors
    /// When a path is too long for a tar.
    pub(crate) fn to_tar(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let (mode, kind, bytes) = match entry {
                Entry::Folder { mode } => (*mode, EntryType::Directory, &[][..]),
                Entry::File { mode, bytes } => (*mode, EntryType::Regular, bytes.as_slice()),
            };
            let mut header = header(mode, bytes.len() as u64);
            header.set_entry_type(kind);
            builder.append_data(&mut header, path, bytes)?;
        }
        Ok(builder.into_inner()?)
    }
}

/// A header that says nothing about where and when it was made.
pub(crate) fn header(mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_its_folders_first_and_no_times() {
        let mut tree = Tree::default();
        tree.file("/etc/ssl/b", 0o644, b"b".to_vec());
        tree.folder("tmp", 0o1777);
        tree.file("a", 0o755, b"a".to_vec());
        let tar = tree.to_tar().expect("a tar");
        let mut archive = tar::Archive::new(tar.as_slice());
        let told: Vec<_> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let header = entry.header();
                assert_eq!(header.mtime().expect("a time"), 0);
                assert_eq!(header.uid().expect("an owner"), 0);
                let path = entry.path().expect("a path").display().to_string();
                (path, header.mode().expect("a mode"))
            })
            .collect();
        let expected = [
            ("a", 0o755),
            ("etc", 0o755),
            ("etc/ssl", 0o755),
            ("etc/ssl/b", 0o644),
            ("tmp", 0o1777),
        ];
        let expected = expected.map(|(path, mode)| (path.to_owned(), mode));
        assert_eq!(told, expected);
        assert_eq!(tar, tree.to_tar().expect("a tar"), "the same each time");
    }
}
