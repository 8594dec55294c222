//! Models of a hub.

use std::path::Path;

use chandler_crds::{LockedFile, ModelLock};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::ModelDir;
use crate::cache::Cache;
use crate::digest::{Digest, is_hex};
use crate::download::{Remote, ensure};
use crate::error::SourceError;
use crate::hub::{Client, Hub, Sibling};
use crate::origin::Origin;
use crate::parse::Source;
use crate::progress::Tracker;
use crate::select::select;
use crate::stores::{PARALLEL, fetch_locked};

/// Bytes of a file outside large-file storage. Hubs refuse commits with more than 10 MB.
const MAX_GIT_FILE: u64 = 64 << 20;
/// Bytes of a revision's name.
const MAX_REVISION: usize = 256;

/// Locks the files of `repo` at `revision`. Files outside large-file storage have no SHA-256
/// on the hub, so they are downloaded here.
pub(crate) async fn resolve(
    source: &Source,
    (repo, file): (&str, Option<&str>),
    revision: Option<&str>,
    hub: &Hub,
    cache: &Cache,
) -> Result<ModelLock, SourceError> {
    let revision = checked_revision(source, revision)?;
    let client = Client::new(hub)?;
    let listing = client.listing(repo, revision).await?;
    let commit = listing.sha;
    if !is_commit(&commit) {
        return Err(invalid(
            format!("{repo} at {revision}"),
            "its `sha` is not a commit",
        ));
    }
    let paths: Vec<&str> = listing
        .siblings
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    let chosen = select(source.as_str(), &paths, file)?;
    let wanted = |sibling: &&Sibling| chosen.contains(&sibling.path.as_str());
    let wanted: Vec<Sibling> = listing.siblings.iter().filter(wanted).cloned().collect();
    let mut files: Vec<LockedFile> = stream::iter(wanted)
        .map(|sibling| lock_file(&client, repo, &commit, sibling, cache))
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(ModelLock {
        source: source.as_str().to_owned(),
        commit: Some(commit),
        files,
    })
}

async fn lock_file(
    client: &Client,
    repo: &str,
    commit: &str,
    sibling: Sibling,
    cache: &Cache,
) -> Result<LockedFile, SourceError> {
    let path = sibling.path.clone();
    let what = format!("hf://{repo}/{path}");
    let (size, digest) = digest_of(&sibling).map_err(|problem| invalid(what.clone(), problem))?;
    let sha256 = match &digest {
        Digest::Sha256(hex) => hex.clone(),
        _ => {
            let origin = client.file(repo, commit, &path, what.clone());
            let remote = Remote {
                origin: &origin,
                what,
                size,
                digest,
            };
            ensure(&remote, cache, &Tracker::new(size, &|_| ())).await?
        }
    };
    Ok(LockedFile { path, size, sha256 })
}

fn digest_of(sibling: &Sibling) -> Result<(u64, Digest), &'static str> {
    if let Some(lfs) = &sibling.lfs {
        return match is_hex(&lfs.sha256, 64) {
            true => Ok((lfs.size, Digest::Sha256(lfs.sha256.clone()))),
            false => Err("its SHA-256 is not one"),
        };
    }
    match (sibling.size, &sibling.blob_id) {
        (Some(size), _) if size > MAX_GIT_FILE => Err("it is too large for a Git file"),
        (Some(size), Some(id)) if is_hex(id, 40) => Ok((size, Digest::GitBlob(id.clone()))),
        _ => Err("the hub tells no size or no digest of it, so it can't be verified"),
    }
}

/// Fetches what a lock names, from its commit, wherever branches have moved to since.
pub(crate) async fn fetch(
    lock: &ModelLock,
    repo: &str,
    hub: &Hub,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    let Some(commit) = lock.commit.as_deref().filter(|commit| is_commit(commit)) else {
        return Err(SourceError::InvalidLock {
            problem: "it names no commit".into(),
        });
    };
    let client = Client::new(hub)?;
    let origin = |file: &LockedFile| {
        let what = format!("hf://{repo}/{} at commit {commit}", file.path);
        let origin = client.file(repo, commit, &file.path, what.clone());
        (what, Box::new(origin) as Box<dyn Origin + '_>)
    };
    let below = Path::new("models").join(repo).join(commit);
    fetch_locked(lock, &origin, cache, &below, tracker).await
}

fn checked_revision<'a>(
    source: &Source,
    revision: Option<&'a str>,
) -> Result<&'a str, SourceError> {
    let revision = revision.filter(|text| !text.is_empty()).unwrap_or("main");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte);
    if revision.len() <= MAX_REVISION
        && revision.bytes().all(allowed)
        && revision
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
        && !revision.contains("..")
    {
        return Ok(revision);
    }
    Err(SourceError::InvalidRevision {
        origin: source.as_str().to_owned(),
        revision: revision.chars().take(MAX_REVISION).collect(),
        advice: "write a branch, a tag or a commit",
    })
}

fn is_commit(text: &str) -> bool {
    is_hex(text, 40) || is_hex(text, 64)
}

fn invalid(what: String, problem: &str) -> SourceError {
    SourceError::InvalidResponse {
        what,
        problem: problem.to_owned(),
    }
}
