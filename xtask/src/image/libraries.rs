//! Which dynamic libraries a program needs.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every library that the program is linked with, and the loader, at the paths where the loader
/// looks for them.
///
/// # Errors
/// When one isn't there.
pub(crate) fn of(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut ldd = shell::command("ldd");
    let output = ldd.arg(program).output().context("can't run ldd")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("not a dynamic executable") {
        return Ok(BTreeSet::new());
    }
    if !output.status.success() {
        bail!("ldd of {}: {}", program.display(), complaint.trim());
    }
    parse(&told).with_context(|| format!("libraries of {}", program.display()))
}

fn parse(told: &str) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for line in told.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("{line}: install it");
        }
        // `NAME => PATH (ADDRESS)`; the loader without a name; the kernel's own without a path.
        let place = line.split_once("=> ").map_or(line, |(_, place)| place);
        let path = place.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            all.insert(PathBuf::from(path));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let told = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = parse(told).expect("all there");
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from).into());
        assert_eq!(parse("\tstatically linked\n").expect("none"), [].into());
    }

    #[test]
    fn a_missing_library_is_an_error() {
        let error = parse("\tlibodd.so.1 => not found\n").expect_err("missing");
        assert!(error.to_string().contains("libodd.so.1"), "{error}");
    }
}
