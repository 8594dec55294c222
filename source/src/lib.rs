//! Where models come from: a source's text is parsed, resolved to exact files, and fetched.
//!
//! | source | what it is | revision |
//! |---|---|---|
//! | `hf://org/name` | a repository of a model hub | a branch, tag or commit; `main` if not given |
//! | `hf://org/name/path/file.gguf` | that file of it, with the small files at the root | the same |
//! | `https://host/path/file.gguf` | that file of a web server | `main` or a pin |
//! | `https://host/path/model.safetensors` | that file and those known names beside it | `main` or a pin |
//! | `s3://bucket/folder` | the objects below a folder of a bucket | `main` or a pin |
//! | `s3://bucket/folder/file.gguf` | that object, with the small ones of the folder | `main` or a pin |
//! | `oci://registry/name:tag` | the layers of an artifact, each a file with a title | a tag, or a digest |
//! | `pvc://claim/folder` | what is there of a claim that is mounted here | as for `file://` |
//! | `file:///folder` | all files below a folder; hidden ones don't count | `main` or a pin |
//! | `file:///folder/file` | one file | `main` or a pin |
//!
//! Of a repository, a bucket or an artifact, the same files are taken: the weights in one format,
//! and the small files that describe them. A pin is `sha256:` and 64 digits of lower-case hex: for a file its SHA-256; for a folder the
//! SHA-256 of its listing in the format of `sha256sum`, with paths from the folder and sorted by
//! bytes. In the folder, the shell computes it so:
//!
//! ```sh
//! find -L * -type f -not -path '*/.*' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum
//! ```
//!
//! [`resolve`] turns a source and a revision into a [`ModelLock`]: the commit, and the path, size
//! and SHA-256 of every file. Web servers and buckets tell no SHA-256, so resolving downloads what
//! they have into the [`Cache`]. [`fetch`] brings exactly those files here, or fails: a branch that
//! moved meanwhile changes nothing. A file from a store gets its name in the [`Cache`] only after
//! its digest was verified, and a file found there is verified again before it is used.

mod access;
mod bucket;
mod bucket_http;
mod cache;
mod digest;
mod download;
mod error;
mod http;
mod hub;
mod local;
mod origin;
mod parse;
mod pin;
mod progress;
mod registry;
mod remote;
mod retry;
mod select;
mod stores;
mod web;

use std::path::PathBuf;

use chandler_crds::ModelLock;
use chandler_crds::names::env;

pub use access::Access;
pub use cache::Cache;
pub use error::SourceError;
pub use hub::Hub;
pub use parse::{Image, Location, Source};
pub use progress::{Phase, Progress};

/// A model's files on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelDir {
    /// The folder that the lock's paths start from. It may hold other files too.
    pub root: PathBuf,
    /// The lock's files, in its order, as absolute paths if `root` is one.
    pub files: Vec<PathBuf>,
}

impl ModelDir {
    fn new(root: PathBuf, lock: &ModelLock) -> Self {
        let files = lock.files.iter().map(|file| root.join(&file.path));
        let files = files.collect();
        Self { root, files }
    }
}

/// Finds out which files a source stands for now, with the digest of each.
///
/// # Errors
/// What the store or the file system refused, see [`SourceError`].
pub async fn resolve(
    source: &Source,
    revision: Option<&str>,
    access: &Access,
    cache: &Cache,
) -> Result<ModelLock, SourceError> {
    match source.location() {
        Location::Hub { repo, file } => {
            let hub = access.hub().await?;
            remote::resolve(source, (repo, file.as_deref()), revision, &hub, cache).await
        }
        Location::File { path } => local::resolve(source, path, revision).await,
        Location::Web { url } => web::resolve(source, url, revision, access, cache).await,
        Location::Bucket { bucket, key } => {
            bucket::resolve(source, (bucket, key), revision, access, cache).await
        }
        Location::Registry { image } => registry::resolve(source, image, revision, access).await,
        Location::Claim { claim, path } => {
            local::resolve(source, &claimed(access, claim, path)?, revision).await
        }
    }
}

/// Brings the files of a lock here, verified. Files of a store land in the cache; those of this
/// machine stay where they are. What is in the cache already is not asked for, and if all is there
/// the cache is not written. `progress` is called often and must return at once.
///
/// # Errors
/// [`SourceError::HashMismatch`] or [`SourceError::SizeMismatch`] if a file is not the one that
/// was locked, [`SourceError::InvalidLock`] if the lock is of another source; else what the store
/// or the file system refused.
pub async fn fetch(
    lock: &ModelLock,
    source: &Source,
    access: &Access,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<ModelDir, SourceError> {
    if lock.source != source.as_str() {
        return Err(SourceError::InvalidLock {
            problem: format!("it is of {}, not of {source}", lock.source),
        });
    }
    // A lock from elsewhere may claim sizes that don't add up in 64 bits.
    let tracker = progress::Tracker::new(lock.total_size(), progress);
    match source.location() {
        Location::Hub { repo, .. } => {
            let hub = access.hub().await?;
            remote::fetch(lock, repo, &hub, cache, &tracker).await
        }
        Location::File { path } => local::fetch(lock, path, &tracker).await,
        Location::Web { url } => web::fetch(lock, url, access, cache, &tracker).await,
        Location::Bucket { bucket, key } => {
            bucket::fetch(lock, (bucket, key), access, cache, &tracker).await
        }
        Location::Registry { image } => registry::fetch(lock, image, access, cache, &tracker).await,
        Location::Claim { claim, path } => {
            local::fetch(lock, &claimed(access, claim, path)?, &tracker).await
        }
    }
}

/// Where a path of a claim is on this machine.
fn claimed(access: &Access, claim: &str, path: &str) -> Result<PathBuf, SourceError> {
    let Some(root) = access.claim.as_deref() else {
        return Err(SourceError::InvalidSetting {
            name: env::CLAIM.to_owned(),
            problem: format!(
                "it does not say where the claim {claim} is mounted; write file:///path for a folder of this machine"
            ),
        });
    };
    Ok(match path {
        "" => root.to_path_buf(),
        path => root.join(path),
    })
}

/// A lock may have come from anywhere: its paths become paths here.
fn check_lock(lock: &ModelLock) -> Result<(), SourceError> {
    let invalid = |problem: String| Err(SourceError::InvalidLock { problem });
    if lock.files.is_empty() {
        return invalid("it names no files".into());
    }
    for file in &lock.files {
        if !parse::is_safe_path(&file.path) {
            let path = file.path.clone();
            return Err(SourceError::UnsafePath { path });
        }
        if !digest::is_hex(&file.sha256, 64) {
            return invalid(format!("the SHA-256 of {} is not one", file.path));
        }
    }
    Ok(())
}
