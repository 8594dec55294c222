//! Models on this machine, used where they are.

use std::io;
use std::path::{Path, PathBuf};

use chandler_crds::{LockedFile, ModelLock};

use crate::digest::{blocking, hash_file};
use crate::error::SourceError;
use crate::parse::{Source, is_safe_path};
use crate::pin::Pin;
use crate::progress::Tracker;
use crate::{ModelDir, check_lock};

const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 16;

/// Locks a file or a folder as it is now.
pub(crate) async fn resolve(
    source: &Source,
    path: &Path,
    revision: Option<&str>,
) -> Result<ModelLock, SourceError> {
    let pin = Pin::parse(source, revision)?;
    let mut files = Vec::new();
    let (root, listed) = list(source, path).await?;
    for (name, size) in listed {
        let path = root.join(&name);
        let hashes = hash_file(&path, size, false, |_| ()).await?;
        if hashes.size != size {
            return Err(size_mismatch(&path, size, hashes.size));
        }
        let sha256 = hashes.sha256;
        files.push(LockedFile {
            path: name,
            size,
            sha256,
        });
    }
    pin.check(source, &files, root != path)?;
    Ok(ModelLock {
        source: source.as_str().to_owned(),
        commit: None,
        files,
    })
}

/// Verifies that what is there is what was locked.
pub(crate) async fn fetch(
    lock: &ModelLock,
    path: &Path,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    check_lock(lock)?;
    let root = match is_folder(path).await? {
        true => path.to_path_buf(),
        false => parent_of(path),
    };
    tracker.add_downloaded(tracker.total());
    for file in &lock.files {
        verify(&root.join(&file.path), file, tracker).await?;
    }
    Ok(ModelDir::new(root, lock))
}

async fn verify(path: &Path, file: &LockedFile, tracker: &Tracker<'_>) -> Result<(), SourceError> {
    let owned = path.to_path_buf();
    let size = blocking(path, move || Ok(owned.metadata()?.len())).await?;
    if size != file.size {
        return Err(size_mismatch(path, file.size, size));
    }
    let hashes = hash_file(path, file.size, false, |n| tracker.add_verified(n)).await?;
    if hashes.sha256 != file.sha256 {
        return Err(SourceError::HashMismatch {
            what: path.display().to_string(),
            expected: file.sha256.clone(),
            actual: hashes.sha256,
        });
    }
    Ok(())
}

/// The model's folder and the paths and sizes of its files, sorted by path.
async fn list(source: &Source, path: &Path) -> Result<(PathBuf, Vec<(String, u64)>), SourceError> {
    if !is_folder(path).await? {
        let owned = path.to_path_buf();
        let size = blocking(path, move || regular_size(&owned)).await?;
        let name = name_of(path)?;
        return Ok((parent_of(path), vec![(name, size)]));
    }
    let owned = path.to_path_buf();
    let mut files = blocking(path, move || {
        let mut files = Vec::new();
        walk(&owned, "", MAX_DEPTH, &mut files)?;
        Ok(files)
    })
    .await?;
    if files.is_empty() {
        let what = format!("a model in the empty folder of {source}");
        return Err(SourceError::NotFound { what });
    }
    files.sort();
    Ok((path.to_path_buf(), files))
}

/// Gathers the files below a folder; links are followed, hidden names left out.
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, u64)>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = name_of(&path).map_err(io::Error::other)?;
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        // `metadata` alone would name neither the link nor its lost target.
        let data = path
            .metadata()
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        if data.is_dir() {
            if depth == 0 {
                return Err(io::Error::other(format!("over {MAX_DEPTH} folders deep")));
            }
            walk(&path, &format!("{name}/"), depth - 1, files)?;
        } else if data.is_file() {
            files.push((name, data.len()));
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::other(format!(
                "over {MAX_FILES} files; is this one model?"
            )));
        }
    }
    Ok(())
}

/// A pipe or a device would be read for ever.
fn regular_size(path: &Path) -> io::Result<u64> {
    let data = path.metadata()?;
    match data.is_file() {
        true => Ok(data.len()),
        false => Err(io::Error::other("neither a file nor a folder")),
    }
}

fn name_of(path: &Path) -> Result<String, SourceError> {
    let name = path.file_name().unwrap_or_default();
    match name.to_str() {
        Some(name) if is_safe_path(name) => Ok(name.to_owned()),
        _ => Err(SourceError::UnsafePath {
            path: path.display().to_string(),
        }),
    }
}

async fn is_folder(path: &Path) -> Result<bool, SourceError> {
    let owned = path.to_path_buf();
    blocking(path, move || Ok(owned.metadata()?.is_dir())).await
}

fn parent_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_path_buf()
}

fn size_mismatch(path: &Path, expected: u64, actual: u64) -> SourceError {
    SourceError::SizeMismatch {
        what: path.display().to_string(),
        expected,
        actual,
    }
}
