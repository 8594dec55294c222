//! Weights files as memory: the one place with `unsafe` in this crate.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

use super::LoadError;

/// A file's bytes, mapped rather than read, so that a load needs no second copy of them.
#[derive(Debug)]
pub(crate) struct MappedFile {
    name: String,
    // An empty file cannot be mapped.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps the file at `path`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`].
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, LoadError> {
        let map = map(path).map_err(|error| LoadError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            name: name.to_owned(),
            map,
        })
    }

    /// Lets go of what was read so far: a copy is computed with, and both would count as this process's memory
    /// at once. What is asked for again is read again.
    pub(crate) fn release(&self) {
        if let Some(map) = &self.map {
            release(map);
        }
    }

    /// What errors call the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[allow(unsafe_code)]
fn release(map: &Mmap) {
    // SAFETY: the pages of a map that is only read are those of the file; without them the next read takes them from
    // there, and gives the same bytes.
    // The advice is refused where pages are locked; then they stay, and nothing is lost.
    let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
}

#[allow(unsafe_code)]
fn map(path: &Path) -> std::io::Result<Option<Mmap>> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the cache renames verified files into place and never writes them again; a file
    // that is cut short by someone else while it is read raises SIGBUS, it cannot corrupt memory.
    unsafe { Mmap::map(&file) }.map(Some)
}
