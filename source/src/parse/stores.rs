//! The texts of sources in stores other than a hub.

use url::Url;

use super::{Image, Location, is_safe_path};
use crate::registry::{is_digest, is_tag};
use crate::select::{is_gguf, shard_stem};

const WEB_FILE: &str = "it must end in one file of weights, *.gguf or *.safetensors";
const BUCKET: &str = "a bucket's name has 3 to 63 letters, digits, dots, dashes or underscores";
const REGISTRY: &str =
    "it must begin with the registry's host, as in oci://registry.example/name:tag";
const REPOSITORY: &str =
    "the name in the registry must be of lower-case letters, digits and `.`, `_`, `-`, `/`";
const CLAIM: &str = "the claim's name has lower-case letters, digits, dots and dashes";

/// `https://host/path/file`
pub(super) fn web(text: &str) -> Result<Location, &'static str> {
    let url = Url::parse(text).map_err(|_| "its address can't be read")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials don't belong here: it is shown to all who may read the model");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment can't be part of it: it may hold a secret");
    }
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let stem = name
        .strip_suffix(".gguf")
        .or_else(|| name.strip_suffix(".safetensors"))
        .filter(|stem| !stem.is_empty() && url.has_host() && is_safe_path(name));
    match stem {
        None => Err(WEB_FILE),
        Some(stem) if shard_stem(stem).is_some() => {
            Err("it is one file of several, which a web server can't list")
        }
        Some(_) if name.ends_with(".gguf") && !is_gguf(name) => Err(WEB_FILE),
        Some(_) => Ok(Location::Web { url }),
    }
}

/// `s3://bucket/prefix` or `s3://bucket/path/file`
pub(super) fn bucket(rest: &str) -> Result<Location, &'static str> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(allowed) {
        return Err(BUCKET);
    }
    let key = path(key)?;
    let bucket = bucket.to_owned();
    Ok(Location::Bucket { bucket, key })
}

/// `oci://registry/name`, with a tag, a digest, both or neither
pub(super) fn registry(rest: &str) -> Result<Location, &'static str> {
    let (registry, name) = rest.split_once('/').ok_or(REGISTRY)?;
    if !is_host(registry) {
        return Err(REGISTRY);
    }
    let (name, digest) = match name.split_once('@') {
        Some((_, digest)) if !is_digest(digest) => {
            return Err("its digest must be `sha256:` and 64 digits of lower-case hex");
        }
        Some((name, digest)) => (name, Some(digest.to_owned())),
        None => (name, None),
    };
    let (repository, tag) = match name.split_once(':') {
        Some((_, tag)) if !is_tag(tag) => return Err("what follows the colon is not a tag"),
        Some((repository, tag)) => (repository, Some(tag.to_owned())),
        None => (name, None),
    };
    if !is_repository(repository) {
        return Err(REPOSITORY);
    }
    let image = Image {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        tag,
        digest,
    };
    Ok(Location::Registry { image })
}

/// `pvc://claim/path`
pub(super) fn claim(rest: &str) -> Result<Location, &'static str> {
    let (claim, below) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(1..=253).contains(&claim.len())
        || !claim.bytes().all(allowed)
        || claim.starts_with(['.', '-'])
        || claim.ends_with(['.', '-'])
    {
        return Err(CLAIM);
    }
    let path = path(below)?;
    let claim = claim.to_owned();
    Ok(Location::Claim { claim, path })
}

/// A path, or nothing; one slash may end it.
fn path(text: &str) -> Result<String, &'static str> {
    let path = text.strip_suffix('/').unwrap_or(text);
    match path.is_empty() || is_safe_path(path) {
        true => Ok(path.to_owned()),
        false => Err("its path has an empty part, `.`, `..`, a backslash or a control character"),
    }
}

/// A registry's host has a dot or a port, or would be taken for the first part of a name.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    !host.is_empty()
        && host.bytes().all(allowed)
        && port.is_none_or(is_port)
        && (port.is_some() || host.contains('.') || host == "localhost")
}

fn is_repository(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes()
            .all(|byte| allowed(byte) || b"._-".contains(&byte))
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.ends_with(|last: char| last.is_ascii_alphanumeric())
    };
    text.len() <= 255 && text.split('/').all(is_part)
}
