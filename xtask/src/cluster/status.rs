//! What runs.

use super::place::Node;
use super::{control, kubectl, load, node, owner, process};
use anyhow::{Result, bail};

/// Prints every process and node, and fails unless all is well.
///
/// # Errors
/// When no cluster is up, or something of it isn't running.
pub(crate) fn run() -> Result<()> {
    let cluster = owner::require()?;
    let mut names: Vec<_> = control::COMPONENTS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    for node in Node::first(cluster.nodes) {
        names.extend(node::PARTS.iter().map(|part| node.part(part)));
    }
    let mut missing = Vec::new();
    for name in names {
        match process::find(&name) {
            Some(process) => println!("{name:<26} process {}", process.pid),
            None => {
                println!("{name:<26} not running");
                missing.push(name);
            }
        }
    }
    print!("{}", kubectl::ask(&["get", "nodes", "--output=wide"])?);
    for node in Node::first(cluster.nodes).filter(|node| node::is_on(*node)) {
        for image in load::list(node)?
            .lines()
            .filter(|name| !name.starts_with("sha256:"))
        {
            println!("{node} has {image}");
        }
    }
    if !missing.is_empty() {
        bail!(
            "not running: {}; `cargo xtask cluster up` starts them",
            missing.join(", ")
        );
    }
    Ok(())
}
