//! Revisions that pin a content, for sources without commits.

use chandler_crds::LockedFile;

use crate::digest::{is_hex, sha256_of};
use crate::error::SourceError;
use crate::parse::Source;

const PREFIX: &str = "sha256:";
const ADVICE: &str = "write `main`, or `sha256:` and the SHA-256 of the file (of a folder: of its sha256sum listing)";

/// The SHA-256 that a revision asks for, if it does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pin<'a>(Option<&'a str>);

impl<'a> Pin<'a> {
    /// Reads a revision; none, or `main`, is whatever is there.
    pub(crate) fn parse(source: &Source, revision: Option<&'a str>) -> Result<Self, SourceError> {
        let revision = revision.unwrap_or_default();
        if matches!(revision, "" | "main") {
            return Ok(Self(None));
        }
        match revision.strip_prefix(PREFIX) {
            Some(hex) if is_hex(hex, 64) => Ok(Self(Some(hex))),
            _ => Err(SourceError::InvalidRevision {
                origin: source.as_str().to_owned(),
                revision: revision.chars().take(80).collect(),
                advice: ADVICE,
            }),
        }
    }

    /// Compares with what is there: one file that the source names alone, or several.
    pub(crate) fn check(
        &self,
        source: &Source,
        files: &[LockedFile],
        alone: bool,
    ) -> Result<(), SourceError> {
        let Some(expected) = self.0 else {
            return Ok(());
        };
        let actual = match files {
            [file] if alone => file.sha256.clone(),
            _ => listing_digest(files),
        };
        if actual == expected {
            return Ok(());
        }
        Err(SourceError::HashMismatch {
            what: source.as_str().to_owned(),
            expected: expected.to_owned(),
            actual,
        })
    }
}

/// The SHA-256 of the files' listing as `sha256sum` writes it.
pub(crate) fn listing_digest(files: &[LockedFile]) -> String {
    let lines = files
        .iter()
        .map(|file| format!("{}  {}\n", file.sha256, file.path));
    sha256_of(&lines.collect::<String>())
}
