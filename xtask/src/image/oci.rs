//! An OCI image as one archive: what `ctr images import`, `skopeo copy oci-archive:` and
//! `podman load` read, made without a builder.

use super::tree::header;
use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use tar::Builder;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Where containerd looks for the whole name.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// Where other tools look for the tag.
const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// Times would make two builds of the same thing differ.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// Whom every program runs as.
pub(crate) const USER: u32 = 65532;

/// All that makes an image.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its whole name with the tag.
    pub(crate) reference: String,
    pub(crate) entrypoint: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) layers: Vec<Layer>,
}

/// Files that are added to those of the layers before.
#[derive(Debug)]
pub(crate) struct Layer {
    /// What it holds, for people.
    pub(crate) about: &'static str,
    pub(crate) tar: Vec<u8>,
}

#[derive(Debug, Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: Run<'a>,
    rootfs: RootFs,
    history: Vec<History<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    user: String,
    entrypoint: [&'a str; 1],
    env: [&'a str; 1],
    working_dir: &'a str,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    manifests: [Descriptor; 1],
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn describe(media_type: &'static str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type,
        digest: digest(bytes),
        size: bytes.len(),
        annotations: BTreeMap::new(),
    }
}

/// The architecture as OCI calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn config(image: &Image) -> Config<'_> {
    Config {
        created: NO_TIME,
        architecture: architecture(),
        os: "linux",
        config: Run {
            user: format!("{USER}:{USER}"),
            entrypoint: [&image.entrypoint],
            env: ["PATH=/"],
            working_dir: "/",
            labels: &image.labels,
        },
        rootfs: RootFs {
            r#type: "layers",
            // The layers aren't compressed: their digests are those of their contents.
            diff_ids: image
                .layers
                .iter()
                .map(|layer| digest(&layer.tar))
                .collect(),
        },
        history: image
            .layers
            .iter()
            .map(|layer| History {
                created: NO_TIME,
                created_by: layer.about,
            })
            .collect(),
    }
}

fn index(image: &Image, manifest: &[u8]) -> Index {
    let reference = &image.reference;
    let tag = reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut descriptor = describe(MANIFEST, manifest);
    descriptor.annotations = BTreeMap::from([
        (NAME_ANNOTATION, reference.clone()),
        (TAG_ANNOTATION, tag.to_owned()),
    ]);
    Index {
        schema_version: 2,
        manifests: [descriptor],
    }
}

/// Writes the archive, whole or not at all, and gives the digest of its manifest.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write(image: &Image, path: &Path) -> Result<String> {
    let config = serde_json::to_vec(&config(image))?;
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: describe(CONFIG, &config),
        layers: image
            .layers
            .iter()
            .map(|layer| describe(LAYER, &layer.tar))
            .collect(),
    })?;
    let index = serde_json::to_vec(&index(image, &manifest))?;
    let mut blobs: BTreeMap<String, &[u8]> = BTreeMap::new();
    let layers = image.layers.iter().map(|layer| layer.tar.as_slice());
    for blob in layers.chain([config.as_slice(), manifest.as_slice()]) {
        blobs.insert(format!("blobs/{}", digest(blob).replace(':', "/")), blob);
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let draft = path.with_extension("draft");
    let file = File::create(&draft).with_context(|| format!("can't write {}", draft.display()))?;
    let mut archive = Builder::new(file);
    add(
        &mut archive,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    add(&mut archive, "index.json", &index)?;
    for (name, blob) in &blobs {
        add(&mut archive, name, blob)?;
    }
    archive.into_inner()?.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("can't write {}", path.display()))?;
    Ok(digest(&manifest))
}

fn add(archive: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(0o644, bytes.len() as u64);
    Ok(archive.append_data(&mut header, name, bytes)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;
    use std::io::Read;

    /// Every file of an archive of ours.
    pub(crate) fn read(path: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(File::open(path).expect("the archive"));
        let entries = archive.entries().expect("entries");
        entries
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("its bytes");
                (entry.path().expect("a path").display().to_string(), bytes)
            })
            .collect()
    }

    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let name = descriptor["digest"].as_str().expect("a digest");
        let bytes = &files[&format!("blobs/{}", name.replace(':', "/"))];
        assert_eq!(digest(bytes), name, "what is there is what is named");
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    fn image() -> Image {
        let layer = |about, tar: &[u8]| Layer {
            about,
            tar: tar.to_vec(),
        };
        Image {
            reference: "example.test/program:1.2".to_owned(),
            entrypoint: "/program".to_owned(),
            labels: BTreeMap::from([("title".to_owned(), "program".to_owned())]),
            layers: vec![layer("first", b"one"), layer("second", b"two")],
        }
    }

    fn write_to_scratch(image: &Image, name: &str) -> BTreeMap<String, Vec<u8>> {
        let path = std::env::temp_dir().join(format!("xtask-oci-{}-{name}", std::process::id()));
        write(image, &path).expect("written");
        let files = read(&path);
        fs::remove_file(&path).expect("removed");
        files
    }

    #[test]
    fn everything_is_found_from_the_index_by_digest_and_size() {
        let files = write_to_scratch(&image(), "found");
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
        let index: Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
        let descriptor = &index["manifests"][0];
        assert_eq!(
            descriptor["annotations"][NAME_ANNOTATION],
            "example.test/program:1.2"
        );
        assert_eq!(descriptor["annotations"][TAG_ANNOTATION], "1.2");
        let manifest: Value = serde_json::from_slice(blob(&files, descriptor)).expect("JSON");
        assert_eq!(manifest["mediaType"], descriptor["mediaType"]);
        let config: Value =
            serde_json::from_slice(blob(&files, &manifest["config"])).expect("JSON");
        let layers = manifest["layers"].as_array().expect("layers");
        let told: Vec<_> = layers.iter().map(|layer| blob(&files, layer)).collect();
        assert_eq!(told, [b"one", b"two"]);
        let diffs = config["rootfs"]["diff_ids"].as_array().expect("digests");
        assert_eq!(diffs[0], digest(b"one"));
        assert_eq!(diffs.len(), 2);
        assert_eq!(config["history"].as_array().map(Vec::len), Some(2));
        assert_eq!(files.len(), 6, "and nothing else");
    }

    #[test]
    fn an_image_runs_one_program_as_nobody_special() {
        let image = image();
        let config = serde_json::to_value(config(&image)).expect("JSON");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(
            config["config"]["Entrypoint"],
            serde_json::json!(["/program"])
        );
        assert_eq!(config["config"]["Labels"]["title"], "program");
        assert_eq!(config["os"], "linux");
    }

    #[test]
    fn the_same_twice_is_the_same() {
        assert_eq!(
            write_to_scratch(&image(), "once"),
            write_to_scratch(&image(), "twice")
        );
    }
}
