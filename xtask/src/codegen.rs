//! `cargo xtask codegen`: the files that the code writes and the repository keeps.

use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use std::fs;
use std::process::Command;

/// The CRD, below the repository's root.
const CRD: &str = "crds/yaml/modeldeployments.chandler.dev.yaml";
/// Client-side apply keeps a copy in an annotation, which may not exceed 256 KiB; a small CRD
/// also keeps `kubectl explain` readable.
const CRD_MAX_BYTES: usize = 100_000;

/// Writes the generated files, or with `check` compares them.
///
/// # Errors
/// When a file is stale (with `check`) or too large.
pub(crate) fn run(check: bool) -> Result<()> {
    shell::build_workspace()?;
    let mut chandler = Command::new(layout::binary("chandler")?);
    let crd = shell::capture(chandler.arg("crd"))?;
    if crd.len() > CRD_MAX_BYTES {
        bail!(
            "{CRD} would have {} bytes; at most {CRD_MAX_BYTES} are allowed",
            crd.len()
        );
    }
    let path = layout::root().join(CRD);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == crd {
        println!("{CRD} is fresh ({} bytes)", crd.len());
        return Ok(());
    }
    if check {
        bail!(
            "{CRD} is stale: {}; run `cargo xtask codegen`",
            first_difference(&committed, &crd)
        );
    }
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, &crd).with_context(|| format!("can't write {CRD}"))?;
    println!("wrote {CRD} ({} bytes)", crd.len());
    Ok(())
}

fn first_difference(old: &str, new: &str) -> String {
    let mut pairs = old.lines().zip(new.lines()).enumerate();
    match pairs.find(|(_, (old, new))| old != new) {
        Some((index, (old, new))) => {
            format!(
                "line {} is `{}`, not `{}`",
                index + 1,
                old.trim(),
                new.trim()
            )
        }
        None => format!(
            "it has {} lines, not {}",
            old.lines().count(),
            new.lines().count()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(
            first_difference("a\nb\n", "a\nc\n"),
            "line 2 is `b`, not `c`"
        );
        assert_eq!(first_difference("", "a\n"), "it has 0 lines, not 1");
    }
}
