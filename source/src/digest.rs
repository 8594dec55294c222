//! Digests of files, streamed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::error::SourceError;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// What a file's content must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    /// SHA-256 of the content, lower-case hex.
    Sha256(String),
    /// Git's name of the content: SHA-1 over `blob <length>`, a NUL byte and the content.
    GitBlob(String),
    /// Unknown so far; the store says that whatever has this version is the same content. See
    /// [`Digest::of_version`].
    Version(String),
    /// Unknown so far, and the store says nothing of versions: this names the file alone, in hex.
    Unversioned(String),
}

impl Digest {
    /// The name by which the cache knows it.
    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex)
            | Self::GitBlob(hex)
            | Self::Version(hex)
            | Self::Unversioned(hex) => hex,
        }
    }

    /// Whether a part that is here already must be of the same content as the rest will be, or
    /// that it is not will show.
    pub(crate) fn is_resumable(&self) -> bool {
        !matches!(self, Self::Unversioned(_))
    }

    /// What stands for a file at `address` of the version and size that the store tells.
    pub(crate) fn of_version(address: &str, etag: Option<&str>, size: u64) -> Self {
        match etag {
            Some(etag) => Self::Version(sha256_of(&format!("{address}\n{etag}\n{size}"))),
            None => Self::Unversioned(sha256_of(address)),
        }
    }
}

/// What a file's content does hash to.
#[derive(Debug)]
pub(crate) struct Hashes {
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) git_blob: Option<String>,
}

/// Whether `text` is `length` digits of lower-case hex.
pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 of a text, lower-case hex.
pub(crate) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Hashes the first `size` bytes of a file, and one more if there is one, so that a longer
/// file shows in [`Hashes::size`] but is never read to its end. `git` asks for the git name.
/// `on_bytes` hears of bytes as they are hashed. Dropping the future ends the work.
pub(crate) async fn hash_file(
    path: &Path,
    size: u64,
    git: bool,
    mut on_bytes: impl FnMut(u64),
) -> Result<Hashes, SourceError> {
    let (sender, mut receiver) = mpsc::channel(4);
    let owned = path.to_path_buf();
    let task = tokio::task::spawn_blocking(move || hash_blocking(&owned, size, git, &sender));
    while let Some(bytes) = receiver.recv().await {
        on_bytes(bytes);
    }
    joined(path, task.await)
}

/// Runs blocking work on the file at `path` off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    joined(path, tokio::task::spawn_blocking(work).await)
}

fn joined<T>(
    path: &Path,
    result: Result<io::Result<T>, tokio::task::JoinError>,
) -> Result<T, SourceError> {
    result
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| SourceError::io(path, error))
}

fn hash_blocking(
    path: &PathBuf,
    size: u64,
    git: bool,
    progress: &mpsc::Sender<u64>,
) -> io::Result<Hashes> {
    let mut file = File::open(path)?.take(size.saturating_add(1));
    let mut sha256 = Sha256::new();
    let mut sha1 = git.then(|| Sha1::new_with_prefix(format!("blob {size}\0")));
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        sha256.update(bytes);
        if let Some(sha1) = &mut sha1 {
            sha1.update(bytes);
        }
        total += count as u64;
        // Nobody listens once the caller's future is dropped.
        if progress.blocking_send(count as u64).is_err() {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
    }
    Ok(Hashes {
        size: total,
        sha256: hex(&sha256.finalize()),
        git_blob: sha1.map(|sha1| hex(&sha1.finalize())),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn known_digests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        let mut seen = 0;
        let hashes = hash_file(&path, 6, true, |bytes| seen += bytes)
            .await
            .unwrap();
        assert_eq!((hashes.size, seen), (6, 6));
        assert_eq!(
            hashes.sha256,
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(
            hashes.git_blob.as_deref(),
            Some("ce013625030ba8dba906f756967f9e9ca394464a")
        );
    }

    #[tokio::test]
    async fn a_file_longer_than_expected_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let hashes = hash_file(&path, 100, false, |_| ()).await.unwrap();
        assert_eq!(hashes.size, 101);
    }
}
