//! Bringing images into the nodes, without a registry.

use super::owner::{self, Lock};
use super::place::{self, Node};
use super::{build, kubectl, node};
use crate::image;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// An image of the cluster's own, with the tag that all of ours have.
pub(crate) fn tagged(name: &str) -> String {
    format!("{name}:{}", env!("CARGO_PKG_VERSION"))
}

/// Writes the images that the cluster itself needs, unless they are newer than what is in them.
///
/// # Errors
/// When a program hasn't been built or an archive can't be written.
pub(crate) fn make_own_images() -> Result<()> {
    for (program, name) in [
        ("pause", place::PAUSE_IMAGE),
        ("coredns", place::COREDNS_IMAGE),
    ] {
        let binary = build::program(program)?;
        let archive = place::images().join(format!("{program}.tar"));
        if !is_newer(&archive, &binary) {
            image::write_static(&binary, &tagged(name), &archive)?;
        }
    }
    Ok(())
}

fn is_newer(path: &Path, than: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    match (modified(path), modified(than)) {
        (Ok(own), Ok(other)) => own > other,
        _ => false,
    }
}

/// Every archive that a new node gets: the cluster's own, and those loaded since it is up.
///
/// # Errors
/// When a folder can't be read.
pub(crate) fn archives() -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in [place::images(), place::run("images")] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            all.extend((path.extension().is_some_and(|end| end == "tar")).then_some(path));
        }
    }
    all.sort();
    Ok(all)
}

/// `cluster load-image`: into every node that is on, and into those that come later.
///
/// # Errors
/// When no cluster is up, or an archive is none.
pub(crate) fn run(given: &[PathBuf]) -> Result<()> {
    let _lock = Lock::take()?;
    let cluster = owner::require()?;
    for archive in given {
        if !archive.is_file() {
            bail!("there is no archive {}", archive.display());
        }
        let kept = keep(archive)?;
        for node in Node::first(cluster.nodes).filter(|node| node::is_on(*node)) {
            into_node(node, &kept)?;
        }
    }
    Ok(())
}

/// Keeps an archive for nodes that start later. The name is enough to tell a newer one of the same
/// image: it replaces the older.
fn keep(archive: &Path) -> Result<PathBuf> {
    let name = archive.file_name().context("an archive without a name")?;
    let kept = place::run("images").join(name).with_extension("tar");
    fs::create_dir_all(place::run("images"))?;
    let _ = fs::remove_file(&kept);
    if fs::hard_link(archive, &kept).is_err() {
        fs::copy(archive, &kept).with_context(|| format!("can't copy {}", archive.display()))?;
    }
    Ok(kept)
}

/// Loads one archive into one node.
///
/// # Errors
/// With the words of containerd.
pub(crate) fn into_node(node: Node, archive: &Path) -> Result<()> {
    let mut import = node::inside(node, "ctr")?;
    // A node doesn't see every folder of the machine: it is given the open file.
    import.args(["--namespace=k8s.io", "images", "import", "-"]);
    let input = File::open(archive)?;
    let output = import
        .stdin(Stdio::from(input))
        .output()
        .context("can't run ctr")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{node} refuses {}: {}", archive.display(), told.trim());
    }
    // `unpacking REFERENCE (DIGEST)...done`
    let told = String::from_utf8_lossy(&output.stdout);
    let reference = told.split_whitespace().nth(1).unwrap_or_default();
    println!("{node} has {reference}");
    Ok(())
}

/// # Errors
/// When a node can't tell which images it has.
pub(crate) fn list(node: Node) -> Result<String> {
    let mut list = node::inside(node, "ctr")?;
    kubectl::answer(
        list.args(["--namespace=k8s.io", "images", "list", "--quiet"]),
        "",
    )
}
