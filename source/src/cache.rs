//! The folder of downloaded models.
//!
//! ```text
//! blobs/sha256/<hex>            a file's content, verified before it got this name
//! blobs/git/<hex>               the SHA-256 of the content that Git calls <hex>
//! blobs/version/<hex>           the SHA-256 of the content that a store gives as this version
//! blobs/*/<hex>.partial         a download, to be resumed
//! locks/<hex>                   held while a download writes; the files stay, empty
//! models/<org>/<name>/<commit>/ a model's files from a hub, as links to blobs
//! contents/<hex>/               a model's files from another store, by their listing's SHA-256
//! ```
//!
//! A cache in which a model is whole is only read, so it may be mounted read-only.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chandler_crds::LockedFile;
use chandler_crds::names::env;

use crate::digest::{Digest, blocking, is_hex};
use crate::error::SourceError;

/// Between looks at a lock that another download holds.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The folder of downloaded models, shared by every process on a machine. It must be on a file
/// system with file locks and symbolic links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// The exclusive right to download one blob; ends when dropped, or with the process.
#[derive(Debug)]
pub(crate) struct BlobLock {
    _file: File,
}

impl Cache {
    /// A cache in this folder, which is made when first needed.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The cache that `CHANDLER_CACHE` names, else `chandler` in the user's cache folder.
    #[must_use]
    pub fn from_env_or_default() -> Self {
        Self::new(default_root(|name| std::env::var_os(name)))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(sha256)
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        let folder = match digest {
            Digest::Sha256(_) => "blobs/sha256",
            Digest::GitBlob(_) => "blobs/git",
            Digest::Version(_) | Digest::Unversioned(_) => "blobs/version",
        };
        let name = format!("{}.partial", digest.hex());
        self.root.join(folder).join(name)
    }

    /// Where the SHA-256 is kept of what a store calls by another name.
    fn alias(&self, digest: &Digest) -> Option<PathBuf> {
        match digest {
            Digest::GitBlob(hex) => Some(self.root.join("blobs/git").join(hex)),
            Digest::Version(hex) => Some(self.root.join("blobs/version").join(hex)),
            Digest::Sha256(_) | Digest::Unversioned(_) => None,
        }
    }

    /// Bytes of a blob, if it is there.
    pub(crate) async fn size_of_blob(&self, sha256: &str) -> Result<Option<u64>, SourceError> {
        let path = self.blob(sha256);
        blocking(&path.clone(), move || match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(|data| Some(data.len())),
        })
        .await
    }

    /// The SHA-256 of the content, if it is known.
    pub(crate) async fn sha256_of(&self, digest: &Digest) -> Result<Option<String>, SourceError> {
        if let Digest::Sha256(hex) = digest {
            return Ok(Some(hex.clone()));
        }
        let Some(path) = self.alias(digest) else {
            return Ok(None);
        };
        let text = blocking(&path.clone(), move || {
            match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(Some),
            }
        })
        .await?;
        Ok(text.filter(|text| is_hex(text, 64)))
    }

    /// Remembers the SHA-256 of the content.
    pub(crate) async fn note(&self, digest: &Digest, sha256: &str) -> Result<(), SourceError> {
        let Some(path) = self.alias(digest) else {
            return Ok(());
        };
        let text = sha256.to_owned();
        blocking(&path.clone(), move || {
            let temporary = unique_sibling(&path);
            std::fs::write(&temporary, text)?;
            std::fs::rename(&temporary, &path)
        })
        .await
    }

    /// Waits for the right to download one blob.
    pub(crate) async fn lock(&self, digest: &Digest) -> Result<BlobLock, SourceError> {
        let hex = digest.hex();
        let path = self.root.join("locks").join(hex);
        let file = blocking(&path, {
            let path = path.clone();
            move || {
                make_parent(&path)?;
                OpenOptions::new().create(true).append(true).open(&path)
            }
        })
        .await?;
        let mut waits = false;
        // Polled rather than awaited in a thread, so that giving up leaves no thread behind.
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(BlobLock { _file: file }),
                Err(TryLockError::Error(error)) => return Err(SourceError::io(&path, error)),
                Err(TryLockError::WouldBlock) if waits => {}
                Err(TryLockError::WouldBlock) => {
                    waits = true;
                    tracing::info!(blob = %hex, "waiting for another download of the same file");
                }
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Lays the blobs of a model out under their own names, in the folder `below` the cache's.
    /// Returns that folder.
    pub(crate) async fn snapshot(
        &self,
        below: &Path,
        files: &[LockedFile],
    ) -> Result<PathBuf, SourceError> {
        let folder = self.root.join(below);
        let depth = below.components().count();
        for file in files {
            let folders = depth + file.path.split('/').count() - 1;
            let target = format!("{}blobs/sha256/{}", "../".repeat(folders), file.sha256);
            let path = folder.join(&file.path);
            blocking(&path.clone(), move || link(&path, Path::new(&target))).await?;
        }
        Ok(folder)
    }
}

/// Points the link at `path` to `target`, in one step for whoever looks at the same time.
fn link(path: &Path, target: &Path) -> io::Result<()> {
    if std::fs::read_link(path).is_ok_and(|current| current == target) {
        return Ok(());
    }
    make_parent(path)?;
    let temporary = unique_sibling(path);
    std::os::unix::fs::symlink(target, &temporary)?;
    std::fs::rename(&temporary, path)
}

pub(crate) fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// A hidden name in the same folder that nobody else uses. A process is told by chance and not by
/// its id: in a container of its own, each has the same.
fn unique_sibling(path: &Path) -> PathBuf {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{:016x}-{number}.new", *PROCESS))
}

fn default_root(lookup: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let folder = |name| {
        lookup(name)
            .map(PathBuf::from)
            .filter(|path| !path.as_os_str().is_empty())
    };
    if let Some(root) = folder(env::CACHE) {
        return root;
    }
    folder("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("chandler")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_folder() {
        let root = |pairs: &[(&str, &str)]| {
            let pairs = pairs.to_vec();
            default_root(move |name| {
                let pair = pairs.iter().find(|(key, _)| *key == name)?;
                Some(pair.1.into())
            })
        };
        let all = [
            ("CHANDLER_CACHE", "/c"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(root(&all), Path::new("/c"));
        assert_eq!(root(&all[1..]), Path::new("/x/chandler"));
        assert_eq!(root(&all[2..]), Path::new("/h/.cache/chandler"));
        let relative = [
            ("CHANDLER_CACHE", ""),
            ("XDG_CACHE_HOME", "x"),
            ("HOME", "/h"),
        ];
        assert_eq!(root(&relative), Path::new("/h/.cache/chandler"));
        assert_eq!(root(&[]), std::env::temp_dir().join("chandler"));
    }
}
