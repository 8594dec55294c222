//! The text of a source, and the paths in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::error::SourceError;

/// Longer than any real source; keeps errors and logs readable.
const MAX_SOURCE: usize = 2048;
/// The hub's own limit on either half of a repository's name.
const MAX_NAME: usize = 96;

/// Where a model comes from: `hf://org/name`, `hf://org/name/path/file.gguf`,
/// `file:///absolute/folder` or `file:///absolute/file`.
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
}

impl Source {
    /// Reads a source. Touches neither network nor disk.
    ///
    /// # Errors
    /// [`SourceError::UnsupportedScheme`] for a scheme other than `hf` and `file`,
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn hub(repo: &str, file: Option<&str>) -> Location {
        Location::Hub {
            repo: repo.into(),
            file: file.map(str::to_owned),
        }
    }

    #[test]
    fn the_forms_that_work() {
        let table = [
            ("hf://org/name", hub("org/name", None)),
            ("hf://org/name/", hub("org/name", None)),
            (
                "hf://o-g/n_a.me/q/f.gguf",
                hub("o-g/n_a.me", Some("q/f.gguf")),
            ),
            (
                "file:///m/a%20b",
                Location::File {
                    path: "/m/a b".into(),
                },
            ),
            (
                "file:///m/a b",
                Location::File {
                    path: "/m/a b".into(),
                },
            ),
        ];
        for (text, location) in table {
            let source = Source::parse(text).unwrap();
            assert_eq!((source.location(), source.as_str()), (&location, text));
        }
    }

    #[test]
    fn the_forms_that_do_not_say_what_to_write() {
        let table = [
            ("", "InvalidSource", "no scheme"),
            ("./model", "InvalidSource", "no scheme"),
            ("hf://", "InvalidSource", "organisation and a name"),
            ("hf://name", "InvalidSource", "organisation and a name"),
            (
                "hf://org/name@main",
                "InvalidSource",
                "give it as `revision`",
            ),
            ("hf://org/..", "InvalidSource", "part of its name"),
            ("hf://org/name/../x", "InvalidSource", "can't be a file"),
            ("file://model", "InvalidSource", "must be absolute"),
            ("file://./model", "InvalidSource", "must be absolute"),
            ("file:///a?b", "InvalidSource", "%3F"),
            ("file:///a%00b", "InvalidSource", "NUL"),
            ("s3://bucket/key", "UnsupportedScheme", "`s3://`"),
            ("gs://bucket/key", "UnsupportedScheme", "`gs://`"),
            ("https://host/x", "UnsupportedScheme", "`https://`"),
            ("oci://host/x", "UnsupportedScheme", "`oci://`"),
            ("pvc://claim/x", "UnsupportedScheme", "`pvc://`"),
            ("HF://org/name", "UnsupportedScheme", "`HF://`"),
            ("a b://x", "InvalidSource", "not a scheme"),
        ];
        for (text, reason, words) in table {
            let error = Source::parse(text).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.reason(), reason, "{text}: {message}");
            assert!(message.contains(words), "{text}: {message}");
            assert!(message.contains("file:///absolute/path"), "{message}");
            assert!(!error.is_transient());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            check(&text)?;
        }

        #[test]
        fn any_text_after_a_scheme_too(scheme in "hf|file|s3|[a-z]{0,4}", rest in "\\PC{0,80}|[/.%@a-z0-9]{0,80}|/\\PC*") {
            check(&format!("{scheme}://{rest}"))?;
        }
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        match Source::parse(text) {
            Ok(source) => {
                prop_assert_eq!(source.as_str(), text);
                match source.location() {
                    Location::File { path } => prop_assert!(path.is_absolute()),
                    Location::Hub { repo, file } => {
                        prop_assert_eq!(repo.split('/').count(), 2);
                        prop_assert!(file.as_deref().is_none_or(is_safe_path));
                    }
                }
            }
            Err(error) => prop_assert!(error.to_string().len() < 1200),
        }
        Ok(())
    }
}
