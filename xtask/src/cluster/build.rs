//! The cluster's programs, built from the Go modules of `e2e/cluster`. Each is built again only
//! when a file of its module changed.

use super::place;
use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The version of Kubernetes, as its components tell it.
pub(crate) const KUBERNETES: &str = "v1.34.4";

/// What one binary is built from.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// The binary, and its module's folder.
    name: &'static str,
    /// The package with its `main`.
    package: &'static str,
    /// Which parts of it are left out or in, as `go build -tags` takes it.
    tags: &'static str,
    /// Packages whose version is set by the linker.
    versioned: &'static [&'static str],
    /// Other names that it is called by.
    links: &'static [&'static str],
}

impl Program {
    const fn plain(name: &'static str) -> Self {
        Self {
            name,
            package: ".",
            tags: "",
            versioned: &[],
            links: &[],
        }
    }
}

/// Cheapest first: what is wrong with the machine is told early.
const PROGRAMS: &[Program] = &[
    Program::plain("pause"),
    Program::plain("slow"),
    Program::plain("kstatus"),
    Program::plain("etcd"),
    Program::plain("coredns"),
    Program {
        package: "helm.sh/helm/v3/cmd/helm",
        ..Program::plain("helm")
    },
    Program {
        package: "github.com/prometheus/prometheus/cmd/prometheus",
        // Of all services that it can ask what there is to scrape, Kubernetes alone.
        tags: "remove_all_sd,enable_kubernetes_sd",
        ..Program::plain("prometheus")
    },
    Program {
        versioned: &[
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ],
        links: &[
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubeadm",
            "kubectl",
            "kubelet",
        ],
        ..Program::plain("kube")
    },
];

/// Builds whatever changed, and tells how long each took.
///
/// # Errors
/// When Go is missing or a build fails.
pub(crate) fn all() -> Result<()> {
    let bin = place::folder().join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("can't make {}", bin.display()))?;
    let compiler = shell::capture(shell::command("go").arg("version"))
        .context("the cluster's programs are written in Go: install Go 1.26 or later")?;
    for program in PROGRAMS {
        let stamp = stamp(program, &compiler)?;
        if is_built(program, &stamp) {
            continue;
        }
        let start = Instant::now();
        println!("building {}", program.name);
        build(program)?;
        fs::write(stamp_file(program), &stamp)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("building {}: {seconds:.1} s", program.name);
    }
    Ok(())
}

fn module(program: &Program) -> PathBuf {
    layout::root().join("e2e/cluster").join(program.name)
}

fn stamp_file(program: &Program) -> PathBuf {
    place::bin(&format!(".{}.stamp", program.name))
}

fn is_built(program: &Program, stamp: &str) -> bool {
    let has_links = program.links.iter().all(|link| place::bin(link).exists());
    let built = fs::read_to_string(stamp_file(program)).unwrap_or_default();
    built == stamp && has_links && place::bin(program.name).exists()
}

/// A digest of all that the binary depends on.
fn stamp(program: &Program, compiler: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(format!("{compiler}{:?}", arguments(program)));
    hasher.update(hash_folder(&module(program))?);
    Ok(format!("{:x}", hasher.finalize()))
}

fn hash_folder(folder: &Path) -> Result<Vec<u8>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut hasher = Sha256::new();
    for path in paths {
        let digest = match path.is_dir() {
            true => hash_folder(&path)?,
            false => Sha256::digest(fs::read(&path)?).to_vec(),
        };
        let name = path.file_name().unwrap_or_default();
        hasher.update(name.as_encoded_bytes());
        hasher.update([0]);
        hasher.update(digest);
    }
    Ok(hasher.finalize().to_vec())
}

/// What `go` is called with, but for the output.
fn arguments(program: &Program) -> Vec<String> {
    let version = KUBERNETES.trim_start_matches('v');
    let mut parts = version.split('.');
    let (major, minor) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut linker = String::from("-s -w");
    for package in program.versioned {
        linker += &format!(
            " -X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor={major} \
             -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
        );
    }
    let words = [
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-ldflags",
    ];
    let mut all: Vec<_> = words.map(str::to_owned).into();
    all.push(linker);
    if !program.tags.is_empty() {
        all.extend(["-tags".to_owned(), program.tags.to_owned()]);
    }
    all.push(program.package.to_owned());
    all
}

fn build(program: &Program) -> Result<()> {
    let target = place::bin(program.name);
    let draft = target.with_extension("draft");
    let mut words = arguments(program);
    words.splice(1..1, ["-o".to_owned(), draft.display().to_string()]);
    let mut go = shell::command("go");
    go.current_dir(module(program)).args(&words);
    // Without C, a binary needs nothing of the system that it runs on.
    go.env("CGO_ENABLED", "0");
    shell::run(&mut go).with_context(|| format!("can't build {}", program.name))?;
    fs::rename(&draft, &target)?;
    for link in program.links {
        let path = place::bin(link);
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(program.name, &path)
            .with_context(|| format!("can't link {}", path.display()))?;
    }
    Ok(())
}

/// One of the programs, which must have been built.
///
/// # Errors
/// When it is missing.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = place::bin(name);
    if !path.exists() {
        bail!("{name} has not been built: run `cargo xtask cluster build` first");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_follows_the_files_of_the_module() {
        let folder = std::env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        fs::write(folder.join("go.mod"), "module a\n").expect("written");
        fs::write(folder.join("inner/a.go"), "package a\n").expect("written");
        let first = hash_folder(&folder).expect("hashed");
        assert_eq!(hash_folder(&folder).expect("hashed"), first);
        fs::write(folder.join("inner/a.go"), "package b\n").expect("written");
        let second = hash_folder(&folder).expect("hashed");
        assert_ne!(first, second, "another content");
        fs::rename(folder.join("inner/a.go"), folder.join("inner/b.go")).expect("renamed");
        assert_ne!(
            second,
            hash_folder(&folder).expect("hashed"),
            "another name"
        );
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn every_program_has_its_module() {
        for program in PROGRAMS {
            let folder = module(program);
            assert!(folder.join("go.mod").exists(), "{}", folder.display());
        }
        let kubernetes = fs::read_to_string(layout::root().join("e2e/cluster/kube/go.mod"));
        let kubernetes = kubernetes.expect("the module of Kubernetes");
        assert!(kubernetes.contains(&format!("k8s.io/kubernetes {KUBERNETES}\n")));
    }
}
