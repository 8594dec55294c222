//! A file as its store gives it out.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::SourceError;

/// The bytes of a file from some byte on.
pub(crate) struct Content {
    /// The first byte's place in the file.
    pub(crate) start: u64,
    /// Bytes of the whole file, if the store tells.
    pub(crate) total: Option<u64>,
    /// The bytes; an error is why they broke off.
    pub(crate) bytes: BoxStream<'static, Result<Bytes, String>>,
}

/// Where a file can be had.
pub(crate) trait Origin: Send + Sync {
    /// Asks for the bytes from `offset` on; `None` if the store refuses to start there.
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Option<Content>, SourceError>>;
}

/// The version that a file is read in: the one it was listed in, or that of the first answer. What
/// comes later must be of the same version, so that no file is put together from two.
#[derive(Debug, Default)]
pub(crate) struct Version(Mutex<Option<String>>);

impl Version {
    pub(crate) fn new(etag: Option<String>) -> Self {
        Self(Mutex::new(etag))
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Compares with an answer's version; the first one is kept.
    pub(crate) fn check(&self, etag: Option<String>, what: &str) -> Result<(), SourceError> {
        let mut known = self.lock();
        match (known.as_deref(), etag) {
            (Some(known), Some(etag)) if known != etag => Err(SourceError::Changed {
                what: what.to_owned(),
            }),
            (None, etag) => {
                *known = etag;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_the_version_of_its_first_answer() {
        let version = Version::default();
        let check = |etag: Option<&str>| version.check(etag.map(str::to_owned), "x");
        assert!(check(None).is_ok());
        assert!(check(Some("\"1\"")).is_ok());
        assert!(check(Some("\"1\"")).is_ok());
        assert!(check(None).is_ok());
        let error = check(Some("\"2\"")).expect_err("another version");
        assert_eq!((error.reason(), error.is_transient()), ("Changed", true));
    }
}
