//! `cargo xtask tidy`: the project's own rules, each told as data.
//!
//! [`text`] looks at the text of tracked files, [`packages`] at what cargo says of the
//! workspace and its dependencies, [`licences`] at the licences of all that is linked in.

mod licences;
mod packages;
mod source;
mod text;

use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use serde_json::Value;
use source::SourceFile;
use std::fmt::{Display, Formatter};
use std::fs;

/// Where every direct dependency has its line.
const DEPENDENCIES: &str = "docs/dependencies.md";

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File, or package.
    pub(crate) place: String,
    /// Line in the file, from 1; 0 where the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong, and what to do instead.
    pub(crate) message: String,
}

impl Display for Finding {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.place, self.message),
            line => write!(formatter, "{}:{line}: {}", self.place, self.message),
        }
    }
}

/// Checks the whole repository.
///
/// # Errors
/// When a rule is broken; each finding is printed.
pub(crate) fn run() -> Result<()> {
    let files = tracked_files()?;
    let metadata = metadata()?;
    let list = fs::read_to_string(layout::root().join(DEPENDENCIES)).unwrap_or_default();
    let mut findings = text::check(&files);
    findings.extend(packages::check(&metadata, &list));
    findings.extend(licences::check(&metadata));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("{} files are tidy", files.len()),
        count => bail!("{count} rules are broken; see above"),
    }
    Ok(())
}

/// Every text file that git tracks, or would track once added.
fn tracked_files() -> Result<Vec<SourceFile>> {
    let mut git = shell::command("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = shell::capture(&mut git).context("tidy reads git's list of files")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // Listed and yet absent: deleted, and not yet told to git.
        let Ok(bytes) = fs::read(layout::root().join(path)) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile::new(path, text));
        }
    }
    Ok(files)
}

fn metadata() -> Result<Value> {
    let arguments = ["metadata", "--format-version", "1", "--all-features"];
    let output = shell::capture(&mut shell::cargo(&arguments))?;
    serde_json::from_str(&output).context("cargo metadata wrote no JSON")
}
