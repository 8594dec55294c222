//! `cargo xtask image`: the images of Chandler's programs, as OCI archives, made from what is built
//! without a builder, a registry or another image. `images/Containerfile` is the same for those who
//! have a builder.

mod libraries;
mod oci;
mod tree;

use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use clap::ValueEnum;
use oci::{Image, Layer, USER};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tree::Tree;

/// Where the archives go, below the repository's root.
pub(crate) const FOLDER: &str = "target/images";
/// What every image's name begins with.
const REGISTRY: &str = "ghcr.io/chandler-dev";
const SOURCE: &str = "https://github.com/chandler-dev/chandler";
/// The authorities that a client trusts, at the place where programs look.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// A program that has an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The inference server.
    Server,
    /// The operator.
    Operator,
    /// The gateway.
    Gateway,
    /// The command line, whose Jobs judge answers.
    Cli,
}

impl Program {
    /// The program, its image and its archive are called alike.
    fn name(self) -> &'static str {
        match self {
            Self::Server => "chandler-server",
            Self::Operator => "chandler-operator",
            Self::Gateway => "chandler-gateway",
            Self::Cli => "chandler",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Server => "Serves one model",
            Self::Operator => "Runs the life of served models on Kubernetes",
            Self::Gateway => "The address in front of served models",
            Self::Cli => "Judges the answers of served models",
        }
    }
}

/// Writes the images of the given programs, or of all.
///
/// # Errors
/// When a program hasn't been built, or something that belongs into its image is missing.
pub(crate) fn run(programs: &[Program], out: &Path, build: bool) -> Result<()> {
    if build {
        shell::build_workspace()?;
    }
    let programs = match programs {
        [] => Program::value_variants(),
        some => some,
    };
    for program in programs {
        let archive = write(*program, &layout::root().join(out))
            .with_context(|| format!("can't make the image of {}", program.name()))?;
        println!("{} is {}", archive.display(), reference(program.name()));
    }
    Ok(())
}

/// The server with a fault, for tests; an image for each.
const FAULTS: [&str; 2] = ["chandler-slow", "chandler-errs"];

/// Writes the images of servers that have a fault. They are for tests alone.
///
/// # Errors
/// When a program hasn't been built, or something that belongs into its image is missing.
pub(crate) fn write_faulty() -> Result<Vec<PathBuf>> {
    let folder = layout::root().join(FOLDER);
    let archives = FAULTS.iter().map(|fault| {
        faulty(fault, &folder).with_context(|| format!("can't make the image of {fault}"))
    });
    archives.collect()
}

fn faulty(fault: &str, folder: &Path) -> Result<PathBuf> {
    let server = Program::Server.name();
    let binary = layout::binary(server)?;
    let archive = folder.join(format!("{fault}.tar"));
    let draft = folder.join(format!(".{fault}.stripped"));
    let program = strip(&layout::binary("chandler-faulty")?, &draft)?;
    let image = Image {
        reference: reference(fault),
        entrypoint: format!("/{fault}"),
        labels: labels(fault, "Serves one model badly, for tests"),
        layers: vec![
            layer("files that every program needs", &base()?)?,
            layer("dynamic libraries", &shared(&binary)?)?,
            layer("the server", &own(server, strip(&binary, &draft)?))?,
            layer("the fault", &own(fault, program))?,
        ],
    };
    oci::write(&image, &archive)?;
    Ok(archive)
}

/// Where [`run`] writes the images of all programs, if it is told nothing else.
pub(crate) fn archives() -> Vec<PathBuf> {
    let folder = layout::root().join(FOLDER);
    let programs = Program::value_variants().iter();
    programs
        .map(|program| folder.join(format!("{}.tar", program.name())))
        .collect()
}

fn reference(name: &str) -> String {
    format!("{REGISTRY}/{name}:{}", env!("CARGO_PKG_VERSION"))
}

fn write(program: Program, folder: &Path) -> Result<PathBuf> {
    let name = program.name();
    let binary = layout::binary(name)?;
    let archive = folder.join(format!("{name}.tar"));
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let stripped = strip(&binary, &folder.join(format!(".{name}.stripped")))?;
    let layers = vec![
        layer("files that every program needs", &base()?)?,
        layer("dynamic libraries", &shared(&binary)?)?,
        layer("the program", &own(name, stripped))?,
    ];
    let image = Image {
        reference: reference(name),
        entrypoint: format!("/{name}"),
        labels: labels(name, program.description()),
        layers,
    };
    oci::write(&image, &archive)?;
    Ok(archive)
}

/// Writes the image of a static program that isn't Chandler's: it has nothing but itself.
///
/// # Errors
/// When the archive can't be written.
pub(crate) fn write_static(binary: &Path, reference: &str, archive: &Path) -> Result<()> {
    let name = binary.file_name().context("a program without a name")?;
    let name = name.to_string_lossy();
    let image = Image {
        reference: reference.to_owned(),
        entrypoint: format!("/{name}"),
        labels: BTreeMap::new(),
        layers: vec![layer("the program", &own(&name, fs::read(binary)?))?],
    };
    oci::write(&image, archive).map(drop)
}

fn layer(about: &'static str, tree: &Tree) -> Result<Layer> {
    let tar = tree.to_tar()?;
    Ok(Layer { about, tar })
}

fn labels(name: &str, description: &str) -> BTreeMap<String, String> {
    let values = [
        ("title", name),
        ("description", description),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", "Apache-2.0"),
        ("source", SOURCE),
    ];
    values
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .into()
}

fn base() -> Result<Tree> {
    let authorities = Path::new("/").join(AUTHORITIES);
    let authorities = fs::read(&authorities)
        .with_context(|| format!("no {}: install ca-certificates", authorities.display()))?;
    let mut tree = Tree::default();
    let users = format!("root:x:0:0::/:/none\nnonroot:x:{USER}:{USER}::/tmp:/none\n");
    let groups = format!("root:x:0:\nnonroot:x:{USER}:\n");
    tree.file("etc/passwd", 0o644, users.into_bytes());
    tree.file("etc/group", 0o644, groups.into_bytes());
    tree.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n".to_vec());
    tree.file(AUTHORITIES, 0o644, authorities);
    tree.folder("tmp", 0o1777);
    Ok(tree)
}

fn shared(binary: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    for path in libraries::of(binary)? {
        let bytes = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        tree.file(&path, 0o755, bytes);
    }
    Ok(tree)
}

fn own(name: &str, bytes: Vec<u8>) -> Tree {
    let mut tree = Tree::default();
    tree.file(name, 0o755, bytes);
    tree
}

/// The program without what only a debugger reads; names of functions stay, for backtraces.
fn strip(binary: &Path, draft: &Path) -> Result<Vec<u8>> {
    let mut strip = shell::command("strip");
    strip.arg("--strip-debug").arg("-o").arg(draft).arg(binary);
    shell::run(&mut strip).context("strip is part of binutils")?;
    let bytes = fs::read(draft)?;
    fs::remove_file(draft)?;
    if bytes.is_empty() {
        bail!("nothing is left of {}", binary.display());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_has_a_user_and_no_shell() {
        let base = base().expect("its files are on this machine");
        let expected = [
            "etc",
            "etc/group",
            "etc/nsswitch.conf",
            "etc/passwd",
            "etc/ssl",
            "etc/ssl/certs",
            AUTHORITIES,
            "tmp",
        ];
        assert_eq!(base.paths(), expected);
        let tar = base.to_tar().expect("a tar");
        let text = String::from_utf8_lossy(&tar);
        assert!(text.contains("nonroot:x:65532:65532:"));
    }

    #[test]
    fn a_program_comes_with_its_libraries_and_nothing_to_run_beside_it() {
        let own = std::env::current_exe().expect("this test");
        let shared = shared(&own).expect("its libraries");
        let is_library = |path: &&str| !path.contains(".so");
        let files: Vec<_> = shared.paths();
        assert!(
            files.iter().any(|path| path.contains("libc.so")),
            "{files:?}"
        );
        assert!(files.iter().any(|path| path.contains("ld-")), "{files:?}");
        let others: Vec<_> = files.iter().filter(|path| is_library(path)).collect();
        assert!(
            others.iter().all(|path| files
                .iter()
                .any(|file| file.starts_with(&format!("{path}/")))),
            "only folders: {others:?}"
        );
    }

    #[test]
    fn an_image_of_a_static_program_has_that_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let binary = folder.join("program");
        fs::write(&binary, "program").expect("written");
        let archive = folder.join("program.tar");
        write_static(&binary, "example.test/program:1", &archive).expect("an image");
        let files = oci::tests::read(&archive);
        fs::remove_dir_all(&folder).expect("removed");
        let layers = files.values().filter_map(|bytes| {
            let mut layer = tar::Archive::new(bytes.as_slice());
            let entry = layer.entries().ok()?.next()?.ok()?;
            Some(entry.path().ok()?.display().to_string())
        });
        assert_eq!(layers.collect::<Vec<_>>(), ["program"]);
    }
}
