//! One file from a store into the cache: once, resumable, verified.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt as _;

use crate::cache::{BlobLock, Cache, make_parent};
use crate::digest::{Digest, Hashes, blocking, hash_file};
use crate::error::SourceError;
use crate::origin::{Content, Origin};
use crate::progress::Tracker;
use crate::retry::Backoff;

/// All may read a blob; nobody else may write it.
const BLOB_MODE: u32 = 0o644;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// A try that brings this many new bytes is not counted as a failure, so that a long download
/// over a poor line ends well.
const WORTHWHILE: u64 = 1 << 20;

/// A file to be downloaded.
pub(crate) struct Remote<'a> {
    pub(crate) origin: &'a dyn Origin,
    /// For messages.
    pub(crate) what: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

enum Found {
    Nothing,
    /// With its SHA-256.
    Good(String),
    /// Under this SHA-256 there is something else.
    Bad(String),
}

/// Sees to it that the file is in the cache as a blob. Returns its SHA-256.
pub(crate) async fn ensure(
    remote: &Remote<'_>,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<String, SourceError> {
    let was_there = match look(remote, cache, tracker, true).await? {
        Found::Good(sha256) => return Ok(sha256),
        Found::Bad(_) => true,
        Found::Nothing => false,
    };
    let lock = match cache.lock(&remote.digest).await {
        Ok(lock) => Arc::new(lock),
        // What is there is damaged, and nobody can mend it here.
        Err(SourceError::ReadOnly { .. }) if was_there => return Err(damaged(remote)),
        Err(error) => return Err(error),
    };
    // What appeared since was verified by the process that held the lock; hashing it again here
    // would make a queue of all that wait.
    match look(remote, cache, tracker, was_there).await? {
        Found::Good(sha256) => return Ok(sha256),
        Found::Bad(sha256) => {
            tracing::warn!(%sha256, "a file in the cache has changed; downloading it again");
            remove(&cache.blob(&sha256)).await?;
        }
        Found::Nothing => {}
    }
    download(remote, cache, tracker, &lock).await
}

/// Looks for the file in the cache; `hash` asks to verify what is there.
async fn look(
    remote: &Remote<'_>,
    cache: &Cache,
    tracker: &Tracker<'_>,
    hash: bool,
) -> Result<Found, SourceError> {
    let Some(sha256) = cache.sha256_of(&remote.digest).await? else {
        return Ok(Found::Nothing);
    };
    let path = cache.blob(&sha256);
    match cache.size_of_blob(&sha256).await? {
        None => return Ok(Found::Nothing),
        Some(size) if size != remote.size => return Ok(Found::Bad(sha256)),
        Some(_) => tracker.add_downloaded(remote.size),
    }
    if !hash {
        tracker.add_verified(remote.size);
        return Ok(Found::Good(sha256));
    }
    let hashes = hash_file(&path, remote.size, false, |n| tracker.add_verified(n)).await?;
    if hashes.sha256 == sha256 {
        return Ok(Found::Good(sha256));
    }
    tracker.take_downloaded(remote.size);
    tracker.take_verified(hashes.size);
    Ok(Found::Bad(sha256))
}

async fn download(
    remote: &Remote<'_>,
    cache: &Cache,
    tracker: &Tracker<'_>,
    lock: &Arc<BlobLock>,
) -> Result<String, SourceError> {
    let path = cache.partial(&remote.digest);
    let longest = match remote.digest.is_resumable() {
        true => remote.size,
        false => 0,
    };
    let mut partial = Partial::open(path, Arc::clone(lock), longest).await?;
    let resumed = partial.len > 0;
    tracker.add_downloaded(partial.len);
    transfer(remote, &mut partial, tracker).await?;
    let mut sealed = seal(remote, &partial, cache, tracker).await;
    // What an earlier process left may have been damaged in a crash, so the fault need not be
    // the store's.
    if resumed && matches!(sealed, Err(SourceError::HashMismatch { .. })) {
        tracing::warn!(file = %remote.what, "a resumed download is damaged; starting over");
        partial.restart(tracker).await?;
        transfer(remote, &mut partial, tracker).await?;
        sealed = seal(remote, &partial, cache, tracker).await;
    }
    if matches!(sealed, Err(SourceError::HashMismatch { .. })) {
        tracker.take_downloaded(partial.len);
        remove(&partial.path).await?;
    }
    sealed
}

async fn transfer(
    remote: &Remote<'_>,
    partial: &mut Partial,
    tracker: &Tracker<'_>,
) -> Result<(), SourceError> {
    let mut backoff = Backoff::default();
    let mut furthest = partial.len;
    while partial.len < remote.size {
        if let Err(error) = attempt(remote, partial, tracker).await {
            // Measured from the furthest point, or a store that ignores ranges and cuts each
            // answer short would be asked for ever.
            if partial.len >= furthest + WORTHWHILE {
                furthest = partial.len;
                backoff.reset();
            }
            backoff.wait(error).await?;
        }
    }
    Ok(())
}

/// One request for what is missing.
async fn attempt(
    remote: &Remote<'_>,
    partial: &mut Partial,
    tracker: &Tracker<'_>,
) -> Result<(), SourceError> {
    if !remote.digest.is_resumable() {
        partial.restart(tracker).await?;
    }
    let content = remote.origin.open(partial.len).await?;
    let Some(content) = content else {
        // The store's file ends before what is held; only a whole answer can tell why.
        partial.restart(tracker).await?;
        return Err(truncated(remote, partial));
    };
    if let Some(total) = content.total.filter(|total| *total != remote.size) {
        return Err(size_mismatch(remote, total));
    }
    if content.start != partial.len {
        partial.restart(tracker).await?;
    }
    if content.start != partial.len {
        return Err(truncated(remote, partial));
    }
    receive(remote, content, partial, tracker).await
}

async fn receive(
    remote: &Remote<'_>,
    mut content: Content,
    partial: &mut Partial,
    tracker: &Tracker<'_>,
) -> Result<(), SourceError> {
    let mut buffer = Vec::new();
    loop {
        let chunk = content.bytes.next().await;
        let held = partial.len + buffer.len() as u64;
        match &chunk {
            Some(Ok(bytes)) if held + bytes.len() as u64 > remote.size => {
                partial.restart(tracker).await?;
                return Err(size_mismatch(remote, held + bytes.len() as u64));
            }
            Some(Ok(bytes)) => buffer.extend_from_slice(bytes),
            None => {}
            Some(Err(error)) => {
                tracing::debug!(file = %remote.what, error, "download broke off");
            }
        }
        let ended = !matches!(chunk, Some(Ok(_)));
        if ended || buffer.len() >= WRITE_BYTES {
            partial.append(std::mem::take(&mut buffer), tracker).await?;
        }
        if ended {
            break;
        }
    }
    if partial.len < remote.size {
        return Err(truncated(remote, partial));
    }
    Ok(())
}

/// Verifies a complete download and gives it its name in the cache.
async fn seal(
    remote: &Remote<'_>,
    partial: &Partial,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<String, SourceError> {
    let git = matches!(remote.digest, Digest::GitBlob(_));
    let hashes = hash_file(&partial.path, remote.size, git, |n| tracker.add_verified(n)).await?;
    if let Some(error) = mismatch(remote, &hashes) {
        tracker.take_verified(hashes.size);
        return Err(error);
    }
    partial.rename(cache.blob(&hashes.sha256)).await?;
    cache.note(&remote.digest, &hashes.sha256).await?;
    Ok(hashes.sha256)
}

fn mismatch(remote: &Remote<'_>, hashes: &Hashes) -> Option<SourceError> {
    let (expected, actual) = match &remote.digest {
        Digest::Sha256(hex) => (hex, hashes.sha256.as_str()),
        Digest::GitBlob(id) => (id, hashes.git_blob.as_deref().unwrap_or_default()),
        Digest::Version(_) | Digest::Unversioned(_) => return None,
    };
    (expected != actual).then(|| SourceError::HashMismatch {
        what: remote.what.clone(),
        expected: expected.clone(),
        actual: actual.to_owned(),
    })
}

fn size_mismatch(remote: &Remote<'_>, actual: u64) -> SourceError {
    SourceError::SizeMismatch {
        what: remote.what.clone(),
        expected: remote.size,
        actual,
    }
}

fn truncated(remote: &Remote<'_>, partial: &Partial) -> SourceError {
    SourceError::Truncated {
        what: remote.what.clone(),
        got: partial.len,
        expected: remote.size,
    }
}

fn damaged(remote: &Remote<'_>) -> SourceError {
    SourceError::HashMismatch {
        what: format!("the cached copy of {}", remote.what),
        expected: remote.digest.hex().to_owned(),
        actual: "another".to_owned(),
    }
}

async fn remove(path: &Path) -> Result<(), SourceError> {
    let owned = path.to_path_buf();
    blocking(path, move || match std::fs::remove_file(owned) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}

/// A download on disk, and the right to write it.
struct Partial {
    path: PathBuf,
    open: Arc<Open>,
    len: u64,
}

/// Held by each write as well: when a fetch is given up, its last write still ends before the
/// lock does.
struct Open {
    file: File,
    _lock: Arc<BlobLock>,
}

impl Partial {
    /// Opens what there is; what is longer than `size` can't be the start of the file.
    async fn open(path: PathBuf, lock: Arc<BlobLock>, size: u64) -> Result<Self, SourceError> {
        let owned = path.clone();
        let (file, len) = blocking(&path, move || {
            make_parent(&owned)?;
            let file = OpenOptions::new().create(true).append(true).open(&owned)?;
            let mut len = file.metadata()?.len();
            if len > size {
                file.set_len(0)?;
                len = 0;
            }
            Ok((file, len))
        })
        .await?;
        let open = Arc::new(Open { file, _lock: lock });
        Ok(Self { path, open, len })
    }

    async fn append(&mut self, bytes: Vec<u8>, tracker: &Tracker<'_>) -> Result<(), SourceError> {
        let open = Arc::clone(&self.open);
        let count = bytes.len() as u64;
        blocking(&self.path, move || (&open.file).write_all(&bytes)).await?;
        self.len += count;
        tracker.add_received(count);
        Ok(())
    }

    async fn restart(&mut self, tracker: &Tracker<'_>) -> Result<(), SourceError> {
        let open = Arc::clone(&self.open);
        blocking(&self.path, move || open.file.set_len(0)).await?;
        tracker.take_downloaded(self.len);
        self.len = 0;
        Ok(())
    }

    /// On disk for good, then visible under its name, all in one.
    async fn rename(&self, target: PathBuf) -> Result<(), SourceError> {
        let open = Arc::clone(&self.open);
        let path = self.path.clone();
        blocking(&target.clone(), move || {
            // Other users of the cache read it too, whatever this process's umask is.
            open.file
                .set_permissions(Permissions::from_mode(BLOB_MODE))?;
            open.file.sync_all()?;
            make_parent(&target)?;
            std::fs::rename(&path, &target)?;
            target
                .parent()
                .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        })
        .await
    }
}
