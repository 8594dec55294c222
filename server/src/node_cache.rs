//! The folder of a node that replicas share: made theirs, and watched over by a pod that shows
//! whether it is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use crate::cli::{FolderArgs, PrepareArgs};
use crate::reporter::Reporter;
use crate::serve::stops;
use crate::startup::StartError;

/// What a file system has at its root before anyone has written to it.
const LOST_AND_FOUND: &str = "lost+found";
/// Made and removed to see that files can be made.
const TRIAL: &str = ".writable";

/// Why a folder can't be what servers keep models in.
#[derive(Debug, thiserror::Error)]
pub enum NodeCacheError {
    /// It can't be looked at.
    #[error("cannot look into `{folder}`: {error}")]
    NotSeen {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Someone else has files in it.
    #[error(
        "`{folder}` belongs to user {owner} and holds `{entry}`: choose a folder that is empty or not there, or make user {wanted} the owner of this one by hand"
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
        /// One of the files.
        entry: String,
        /// Who should be its owner.
        wanted: u32,
    },
    /// The system refuses to change its owner.
    #[error(
        "cannot make user {wanted} the owner of `{folder}`: {error}; this takes root with the capability CHOWN"
    )]
    NotGiven {
        /// The folder.
        folder: PathBuf,
        /// Who should be its owner.
        wanted: u32,
        /// What the system says.
        error: io::Error,
    },
    /// No file can be made in it.
    #[error(
        "cannot write to `{folder}`: {error}; `chandler-server prepare-cache` gives it to a user"
    )]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl NodeCacheError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSeen { .. } => "CacheNotSeen",
            Self::InUse { .. } => "CacheInUse",
            Self::NotGiven { .. } => "CacheNotGiven",
            Self::NotWritable { .. } => "CacheNotWritable",
        }
    }
}

/// Gives a folder to a user. Gives the exit code.
pub fn prepare(args: &PrepareArgs) -> u8 {
    told(give(&args.folder.folder, args.owner).map_err(StartError::from))
}

/// Checks that a folder can be written, and waits until told to stop. Gives the exit code.
pub async fn hold(args: &FolderArgs) -> u8 {
    told(try_holding(&args.folder).await)
}

async fn try_holding(folder: &Path) -> Result<(), StartError> {
    try_writing(folder)?;
    tracing::info!(folder = %folder.display(), "ready to keep models");
    stops(false)?.recv().await;
    Ok(())
}

fn told(result: Result<(), StartError>) -> u8 {
    result.map_or_else(|error| Reporter::new(None).fail(&error), |()| 0)
}

/// Only the folder itself, and only if nobody uses it: it may be one of the system's by mistake.
fn give(folder: &Path, wanted: u32) -> Result<(), NodeCacheError> {
    let not_seen = |error| NodeCacheError::NotSeen {
        folder: folder.to_owned(),
        error,
    };
    let owner = fs::metadata(folder).map_err(not_seen)?.uid();
    if owner == wanted {
        tracing::info!(folder = %folder.display(), owner, "has its owner already");
        return Ok(());
    }
    if let Some(entry) = an_entry(folder).map_err(not_seen)? {
        return Err(NodeCacheError::InUse {
            folder: folder.to_owned(),
            owner,
            entry,
            wanted,
        });
    }
    chown(folder, Some(wanted), Some(wanted)).map_err(|error| NodeCacheError::NotGiven {
        folder: folder.to_owned(),
        wanted,
        error,
    })?;
    tracing::info!(folder = %folder.display(), from = owner, to = wanted, "has a new owner");
    Ok(())
}

fn an_entry(folder: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != LOST_AND_FOUND {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn try_writing(folder: &Path) -> Result<(), NodeCacheError> {
    let trial = folder.join(TRIAL);
    let made = File::create(&trial).and_then(|_| fs::remove_file(&trial));
    made.map_err(|error| NodeCacheError::NotWritable {
        folder: folder.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, u32) {
        let folder = tempfile::tempdir().unwrap();
        let owner = folder.path().metadata().unwrap().uid();
        (folder, owner)
    }

    #[test]
    fn an_empty_folder_is_given_by_whoever_may() {
        let (folder, own) = folder();
        fs::create_dir(folder.path().join(LOST_AND_FOUND)).unwrap();
        let wanted = own + 1;
        match give(folder.path(), wanted) {
            Ok(()) => assert_eq!(folder.path().metadata().unwrap().uid(), wanted),
            Err(error) => {
                assert_ne!(own, 0, "root may: {error}");
                assert!(error.to_string().contains("CHOWN"), "{error}");
            }
        }
    }

    #[test]
    fn a_folder_with_files_stays_whose_it_is() {
        let (folder, own) = folder();
        fs::write(folder.path().join("passwd"), "").unwrap();
        let error = give(folder.path(), own + 1).unwrap_err();
        assert_eq!(error.reason(), "CacheInUse");
        assert!(error.to_string().contains("`passwd`"), "{error}");
        assert_eq!(folder.path().metadata().unwrap().uid(), own);
        give(folder.path(), own).expect("a cache with models, at the next start");
        let missing = give(&folder.path().join("none"), own).unwrap_err();
        assert_eq!(missing.reason(), "CacheNotSeen");
    }

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let (folder, _) = folder();
        try_writing(folder.path()).unwrap();
        assert_eq!(an_entry(folder.path()).unwrap(), None);
        let error = try_writing(&folder.path().join("none")).unwrap_err();
        assert_eq!(error.reason(), "CacheNotWritable");
    }
}
