//! What the stores have in common: a lock's files come into the cache, and files that their store
//! tells no digest of are locked by their content.

use std::path::{Path, PathBuf};

use chandler_crds::{LockedFile, ModelLock};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::ModelDir;
use crate::cache::Cache;
use crate::check_lock;
use crate::digest::Digest;
use crate::download::{Remote, ensure};
use crate::error::SourceError;
use crate::origin::Origin;
use crate::pin::listing_digest;
use crate::progress::Tracker;

/// Files fetched at the same time.
pub(crate) const PARALLEL: usize = 4;

/// Where a locked file can be had, after what messages call it.
pub(crate) type Named<'a> = (String, Box<dyn Origin + 'a>);

/// A file that its store tells no digest of.
pub(crate) struct Offered<'a> {
    /// Below the model's root.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Stands for the bytes, if the store tells one.
    pub(crate) etag: Option<String>,
    /// The whole address, also for messages.
    pub(crate) address: String,
    pub(crate) origin: Box<dyn Origin + 'a>,
}

/// Downloads files into the cache to learn their digests. A later fetch finds them there.
pub(crate) async fn lock_offered(
    offered: Vec<Offered<'_>>,
    cache: &Cache,
) -> Result<Vec<LockedFile>, SourceError> {
    let work = offered
        .into_iter()
        .map(|file| lock_one(file, cache).boxed());
    let work: Vec<BoxFuture<'_, _>> = work.collect();
    let mut files: Vec<LockedFile> = stream::iter(work)
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

async fn lock_one(file: Offered<'_>, cache: &Cache) -> Result<LockedFile, SourceError> {
    let remote = Remote {
        origin: file.origin.as_ref(),
        digest: Digest::of_version(&file.address, file.etag.as_deref(), file.size),
        what: file.address,
        size: file.size,
    };
    let sha256 = ensure(&remote, cache, &Tracker::new(file.size, &|_| ())).await?;
    Ok(LockedFile {
        path: file.path,
        size: file.size,
        sha256,
    })
}

/// Brings a lock's files into the cache and lays them out in the folder `below` it. What is there
/// and whole is not asked for.
pub(crate) async fn fetch_locked<'a>(
    lock: &ModelLock,
    origin: &(dyn Fn(&LockedFile) -> Named<'a> + Send + Sync),
    cache: &Cache,
    below: &Path,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    check_lock(lock)?;
    let files = lock.files.iter().cloned();
    let work = files.map(|file| fetch_one(file, origin, cache, tracker).boxed());
    let work: Vec<BoxFuture<'_, _>> = work.collect();
    stream::iter(work)
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
    let root = cache.snapshot(below, &lock.files).await?;
    Ok(ModelDir::new(root, lock))
}

async fn fetch_one<'a>(
    file: LockedFile,
    origin: &(dyn Fn(&LockedFile) -> Named<'a> + Send + Sync),
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<(), SourceError> {
    let (what, origin) = origin(&file);
    let remote = Remote {
        origin: origin.as_ref(),
        what,
        size: file.size,
        digest: Digest::Sha256(file.sha256),
    };
    ensure(&remote, cache, tracker).await.map(drop)
}

/// The folder below the cache's for files of a store without commits.
pub(crate) fn folder_of(lock: &ModelLock) -> PathBuf {
    Path::new("contents").join(listing_digest(&lock.files))
}
