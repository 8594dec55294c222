//! What can go wrong between a source's text and verified files on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The forms of source that work, in the words that every refusal ends with.
pub(crate) const ADVICE: &str = "write hf://org/name, hf://org/name/file.gguf, https://host/file.gguf, s3://bucket/prefix, oci://registry/name:tag, pvc://claim/path or file:///absolute/path";

/// Why a source was not parsed, resolved or fetched. The message says what to write instead
/// where that is known; [`SourceError::reason`] is for machines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text is not a source.
    #[error("`{text}` is not a model source: {problem}; {ADVICE}")]
    InvalidSource {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A scheme that nothing here can read.
    #[error("model sources of scheme `{scheme}://` are not supported; {ADVICE}")]
    UnsupportedScheme {
        /// The scheme, without `://`.
        scheme: String,
    },
    /// The revision can't be one of this source.
    #[error("`{revision}` is not a revision of {origin}: {advice}")]
    InvalidRevision {
        /// The source.
        origin: String,
        /// The revision asked for.
        revision: String,
        /// What to write.
        advice: &'static str,
    },
    /// The hub's address is not one.
    #[error(
        "`{endpoint}` is not the address of a model hub ({problem}); set {} to one like https://huggingface.co",
        chandler_crds::names::env::HUB
    )]
    InvalidEndpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTPS client could not be made.
    #[error("no HTTPS client ({problem}); are the system's CA certificates installed?")]
    Tls {
        /// The TLS library's words.
        problem: String,
    },
    /// A setting or credential is missing or can't be used.
    #[error("{name} can't be used: {problem}")]
    InvalidSetting {
        /// The environment variable, or the key of the credentials.
        name: String,
        /// What is wrong with it, and what to write. Never its value.
        problem: String,
    },
    /// The store has no such model, or the file system no such path.
    #[error("{what} was not found; check the source, or put the model there")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The model is there, the revision isn't.
    #[error("{origin} has no revision `{revision}`; write a branch, tag or commit of it")]
    RevisionNotFound {
        /// The source.
        origin: String,
        /// The revision asked for.
        revision: String,
    },
    /// The repository has no file of the name that the source ends in.
    #[error("{origin}: no such file at this revision; {candidates}")]
    FileNotFound {
        /// The source.
        origin: String,
        /// The files it could have been.
        candidates: String,
    },
    /// The store refused the request.
    #[error(
        "the store refused {what} (HTTP {status}): it does not exist, or it is private or gated; {advice}"
    )]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// 401 or 403.
        status: u16,
        /// Which credentials to give.
        advice: &'static str,
    },
    /// The store asks to come back later.
    #[error(
        "the store limits the rate of requests (asked for {what}); credentials may raise the limit"
    )]
    RateLimited {
        /// What was asked for.
        what: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer: the connection failed or stalled.
    #[error("there was no answer for {what}: {problem}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// The chain of causes.
        problem: String,
    },
    /// The store answered with a failure of its own.
    #[error("the store failed on {what} with HTTP {status}")]
    StoreFailed {
        /// What was asked for.
        what: String,
        /// The status, 408 or 5xx.
        status: u16,
    },
    /// The store's answer can't be used.
    #[error("the store's answer for {what} can't be used: {problem}")]
    InvalidResponse {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store has another version of a file than the one that was being read.
    #[error("{what} changed while it was read; nothing of it was kept")]
    Changed {
        /// The file.
        what: String,
    },
    /// The body ended early each time it was tried.
    #[error("{what}: the download ended after {got} of {expected} bytes")]
    Truncated {
        /// The file.
        what: String,
        /// Bytes held.
        got: u64,
        /// Bytes that it should have.
        expected: u64,
    },
    /// Several models are in one place and the source doesn't say which.
    #[error("{origin} holds several GGUF files: name one, as in {origin}/<file>; {candidates}")]
    AmbiguousFile {
        /// The source.
        origin: String,
        /// The files it could be.
        candidates: String,
    },
    /// Nothing that can be loaded.
    #[error("{origin} has no weights: neither *.safetensors, nor *.gguf, nor pytorch_model.bin")]
    NoWeights {
        /// The source.
        origin: String,
    },
    /// A path that could lead out of the model's folder.
    #[error("{path:?} is not a path below a model's folder")]
    UnsafePath {
        /// The path.
        path: String,
    },
    /// The lock doesn't belong to the source, or isn't whole.
    #[error("the lock can't be used: {problem}; resolve the source again")]
    InvalidLock {
        /// What is wrong with it.
        problem: String,
    },
    /// The content is not the content that was locked or pinned.
    #[error("{what}: SHA-256 is {actual}, expected {expected}")]
    HashMismatch {
        /// The file or folder.
        what: String,
        /// Lower-case hex.
        expected: String,
        /// Lower-case hex.
        actual: String,
    },
    /// The length is not the length that was locked.
    #[error("{what}: {actual} bytes, expected {expected}")]
    SizeMismatch {
        /// The file.
        what: String,
        /// Bytes.
        expected: u64,
        /// Bytes.
        actual: u64,
    },
    /// The disk, or the quota on it, is used up.
    #[error("no space left at {}; free some, or put the cache elsewhere by {}", path.display(), chandler_crds::names::env::CACHE)]
    DiskFull {
        /// Where it was written.
        path: PathBuf,
    },
    /// The cache can't be written, and the model isn't whole in it.
    #[error("{} can't be written, and the model is not whole there: fetch it before the cache is mounted read-only", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path in question.
        path: PathBuf,
        /// The system's words.
        #[source]
        error: io::Error,
    },
}

impl SourceError {
    /// The error's kind in CamelCase, stable across releases.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSource { .. } => "InvalidSource",
            Self::UnsupportedScheme { .. } => "UnsupportedScheme",
            Self::InvalidRevision { .. } => "InvalidRevision",
            Self::InvalidEndpoint { .. } => "InvalidEndpoint",
            Self::Tls { .. } => "TlsUnavailable",
            Self::InvalidSetting { .. } => "InvalidSetting",
            Self::NotFound { .. } => "NotFound",
            Self::RevisionNotFound { .. } => "RevisionNotFound",
            Self::FileNotFound { .. } => "FileNotFound",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::RateLimited { .. } => "RateLimited",
            Self::Unreachable { .. } => "Unreachable",
            Self::StoreFailed { .. } => "StoreFailed",
            Self::InvalidResponse { .. } => "InvalidResponse",
            Self::Changed { .. } => "Changed",
            Self::Truncated { .. } => "Truncated",
            Self::AmbiguousFile { .. } => "AmbiguousFile",
            Self::NoWeights { .. } => "NoWeights",
            Self::UnsafePath { .. } => "UnsafePath",
            Self::InvalidLock { .. } => "InvalidLock",
            Self::HashMismatch { .. } => "HashMismatch",
            Self::SizeMismatch { .. } => "SizeMismatch",
            Self::DiskFull { .. } => "DiskFull",
            Self::ReadOnly { .. } => "ReadOnly",
            Self::Io { .. } => "Io",
        }
    }

    /// Whether the same call may succeed later with nothing changed in what was asked.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_store_trouble() || matches!(self, Self::DiskFull { .. } | Self::Changed { .. })
    }

    /// Whether asking the store again at once, after a pause, makes sense.
    pub(crate) fn is_store_trouble(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Unreachable { .. }
                | Self::StoreFailed { .. }
                | Self::Truncated { .. }
        )
    }

    /// Sorts an error of the file system at `path`.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::NotFound => Self::NotFound {
                what: path.display().to_string(),
            },
            _ => Self::Io { path, error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_missing_file_are_told_apart_from_other_failures() {
        let sort = |kind| SourceError::io(Path::new("/x"), io::Error::from(kind));
        let full = sort(io::ErrorKind::StorageFull);
        assert_eq!(
            (full.reason(), full.is_transient(), full.is_store_trouble()),
            ("DiskFull", true, false)
        );
        assert_eq!(sort(io::ErrorKind::QuotaExceeded).reason(), "DiskFull");
        assert_eq!(sort(io::ErrorKind::NotFound).reason(), "NotFound");
        let denied = sort(io::ErrorKind::PermissionDenied);
        assert_eq!((denied.reason(), denied.is_transient()), ("Io", false));
    }
}
