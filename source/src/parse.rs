//! The text of a source, and the paths in it.

mod stores;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::error::SourceError;

/// Longer than any real source; keeps errors and logs readable.
const MAX_SOURCE: usize = 2048;
/// The hub's own limit on either half of a repository's name.
const MAX_NAME: usize = 96;

/// Where a model comes from, see the [crate's](crate) table of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    location: Location,
}

/// The parts of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A repository of a model hub.
    Hub {
        /// `org/name`.
        repo: String,
        /// The one weights file wanted, as a path in the repository.
        file: Option<String>,
    },
    /// A folder or file of this machine.
    File {
        /// Absolute.
        path: PathBuf,
    },
    /// A file of a web server.
    Web {
        /// Of scheme https, without query or credentials.
        url: Url,
    },
    /// Objects of an S3 bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// A folder or an object; empty for the whole bucket.
        key: String,
    },
    /// An artifact of an OCI registry.
    Registry {
        /// Its name.
        image: Image,
    },
    /// A folder or file of a volume claim that is mounted here.
    Claim {
        /// The claim's name.
        claim: String,
        /// Below its root; empty for all of it.
        path: String,
    },
}

/// The name of an artifact of an OCI registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `host` or `host:port`.
    pub registry: String,
    /// Its path there.
    pub repository: String,
    /// A name that can move.
    pub tag: Option<String>,
    /// `sha256:` and the digest of the manifest.
    pub digest: Option<String>,
}

impl Source {
    /// Reads a source. Touches neither network nor disk.
    ///
    /// # Errors
    /// [`SourceError::UnsupportedScheme`] for a scheme that nothing here reads,
    /// [`SourceError::InvalidSource`] for whatever else is wrong.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let invalid = |problem: &str| SourceError::InvalidSource {
            text: shortened(text),
            problem: problem.to_owned(),
        };
        if text.len() > MAX_SOURCE {
            return Err(invalid("it is over 2048 bytes long"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid("it has no scheme such as hf:// or file://"));
        };
        let location = match scheme {
            "hf" => parse_hub(rest).map_err(|problem| invalid(&problem))?,
            "file" => parse_file(text, rest).map_err(invalid)?,
            "https" => stores::web(text).map_err(invalid)?,
            "s3" => stores::bucket(rest).map_err(invalid)?,
            "oci" => stores::registry(rest).map_err(invalid)?,
            "pvc" => stores::claim(rest).map_err(invalid)?,
            _ if is_scheme(scheme) => {
                let scheme = shortened(scheme);
                return Err(SourceError::UnsupportedScheme { scheme });
            }
            _ => return Err(invalid("what stands before :// is not a scheme")),
        };
        let text = text.to_owned();
        Ok(Self { text, location })
    }

    /// The text that was parsed, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        Self::parse(text)
    }
}

fn parse_hub(rest: &str) -> Result<Location, String> {
    let mut parts = rest.splitn(3, '/');
    let org = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or_default();
    if org.is_empty() || name.is_empty() {
        return Err("a model on the hub has an organisation and a name".into());
    }
    for part in [org, name] {
        if part.contains('@') {
            return Err("the revision does not belong here, give it as `revision`".into());
        }
        if !is_repo_name(part) {
            return Err(format!("`{}` can't be part of its name", shortened(part)));
        }
    }
    let repo = format!("{org}/{name}");
    let file = match parts.next() {
        None | Some("") => None,
        Some(path) if is_safe_path(path) => Some(path.to_owned()),
        Some(path) => return Err(format!("`{}` can't be a file of it", shortened(path))),
    };
    Ok(Location::Hub { repo, file })
}

fn parse_file(text: &str, rest: &str) -> Result<Location, &'static str> {
    if !rest.starts_with('/') {
        return Err("the path must be absolute: three slashes follow `file:`");
    }
    if rest.contains(['?', '#']) {
        return Err("`?` and `#` in a path are written %3F and %23");
    }
    let path = Url::parse(text)
        .ok()
        .and_then(|url| url.to_file_path().ok())
        .ok_or("its path can't be read")?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("its path holds a NUL byte");
    }
    Ok(Location::File { path })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_repo_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with(['.', '-'])
        && !text.ends_with(['.', '-'])
        && !text.contains("..")
}

/// Whether a path stays below the folder it is joined to, and can stand in a listing.
pub(crate) fn is_safe_path(path: &str) -> bool {
    path.len() <= MAX_SOURCE
        && !path.contains('\\')
        && !path.contains(char::is_control)
        && path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."))
        && Path::new(path).is_relative()
}

/// The start of a text, for a message.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
