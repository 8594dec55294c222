//! Models of an OCI registry: an artifact whose layers are files, as `oras push` writes it.

mod login;

use std::sync::OnceLock;

use chandler_crds::names::{credentials, env};
use chandler_crds::{LockedFile, ModelLock};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::header::HeaderMap;

use crate::ModelDir;
use crate::access::{Access, Login};
use crate::cache::Cache;
use crate::digest::is_hex;
use crate::error::SourceError;
use crate::http::{
    CONNECT_TIMEOUT, READ_TIMEOUT, USER_AGENT, causes, choose_tls, refusal, unreachable,
};
use crate::origin::{Content, Origin};
use crate::parse::{Image, Source};
use crate::progress::Tracker;
use crate::retry::persist;
use crate::select::select;
use crate::stores::{fetch_locked, folder_of};

/// A layer's file name.
const TITLE: &str = "org.opencontainers.image.title";
/// A layer that is a packed folder.
const UNPACK: &str = "io.deis.oras.content.unpack";
const DIGEST: &str = "sha256:";
const DEFAULT_TAG: &str = "latest";
const ADVICE: &str = "give credentials with `.dockerconfigjson`, or with `username` and `password`";
const REVISION_ADVICE: &str =
    "write a tag if the source has none, or `sha256:` and the digest of the manifest";
const LAYER_ADVICE: &str = "push files one by one, as `oras push` does";

/// A repository of a registry, logged in to when something is asked of it.
struct Registry<'a> {
    image: &'a Image,
    access: &'a Access,
    client: OnceLock<Client>,
}

struct Layer<'a> {
    registry: &'a Registry<'a>,
    digest: String,
    size: u64,
    what: String,
}

/// Locks the layers of an artifact.
pub(crate) async fn resolve(
    source: &Source,
    image: &Image,
    revision: Option<&str>,
    access: &Access,
) -> Result<ModelLock, SourceError> {
    let (reference, pin) = reference(source, image, revision)?;
    let registry = Registry::new(image, access);
    let (manifest, commit) = registry.manifest(&reference).await?;
    if let Some(expected) = pin.filter(|pin| *pin != commit) {
        return Err(SourceError::HashMismatch {
            what: format!("the manifest of {source}"),
            expected,
            actual: commit,
        });
    }
    let OciManifest::Image(manifest) = manifest else {
        return Err(invalid(
            source,
            "it is an index of several artifacts: name one by its digest",
        ));
    };
    let files: Result<Vec<LockedFile>, SourceError> = manifest
        .layers
        .iter()
        .map(|layer| lock_layer(source, layer))
        .collect();
    let mut files = files?;
    let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let chosen = select(source.as_str(), &paths, None)?;
    files.retain(|file| chosen.contains(&file.path.as_str()));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(invalid(
            source,
            &format!("two layers are called {}", pair[0].path),
        ));
    }
    Ok(ModelLock {
        source: source.as_str().to_owned(),
        commit: Some(commit),
        files,
    })
}

/// Fetches what a lock names, wherever tags have moved to since.
pub(crate) async fn fetch(
    lock: &ModelLock,
    image: &Image,
    access: &Access,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    let registry = Registry::new(image, access);
    let origin = |file: &LockedFile| {
        let what = format!("{} of {}", file.path, lock.source);
        let layer = Layer {
            registry: &registry,
            digest: format!("{DIGEST}{}", file.sha256),
            size: file.size,
            what: what.clone(),
        };
        (what, Box::new(layer) as Box<dyn Origin + '_>)
    };
    fetch_locked(lock, &origin, cache, &folder_of(lock), tracker).await
}

/// What to ask for, and the digest that must come of it.
fn reference(
    source: &Source,
    image: &Image,
    revision: Option<&str>,
) -> Result<(Reference, Option<String>), SourceError> {
    let (registry, repository) = (image.registry.clone(), image.repository.clone());
    let by_tag =
        |tag: &str| Reference::with_tag(registry.clone(), repository.clone(), tag.to_owned());
    let by_digest = |digest: &str| {
        Reference::with_digest(registry.clone(), repository.clone(), digest.to_owned())
    };
    let wrong = |revision: &str| SourceError::InvalidRevision {
        origin: source.as_str().to_owned(),
        revision: revision.chars().take(80).collect(),
        advice: REVISION_ADVICE,
    };
    // `main` is what a spec without a revision stands for, and no usual tag.
    let revision = revision.filter(|revision| !matches!(*revision, "" | "main"));
    let pin = image.digest.clone();
    match (revision, &image.digest, &image.tag) {
        (None, Some(digest), _) => Ok((by_digest(digest), pin)),
        (None, None, tag) => Ok((by_tag(tag.as_deref().unwrap_or(DEFAULT_TAG)), None)),
        (Some(revision), digest, _) if is_digest(revision) => match digest {
            Some(digest) if digest != revision => Err(wrong(revision)),
            _ => Ok((by_digest(revision), Some(revision.to_owned()))),
        },
        (Some(revision), None, None) if is_tag(revision) => Ok((by_tag(revision), None)),
        (Some(revision), ..) => Err(wrong(revision)),
    }
}

fn lock_layer(source: &Source, layer: &OciDescriptor) -> Result<LockedFile, SourceError> {
    let annotation = |name| layer.annotations.as_ref().and_then(|all| all.get(name));
    let refused = |problem: &str| invalid(source, &format!("{problem}; {LAYER_ADVICE}"));
    let Some(title) = annotation(TITLE) else {
        return Err(refused(&format!("its layer {} has no title", layer.digest)));
    };
    if annotation(UNPACK).is_some_and(|unpack| unpack == "true") {
        return Err(refused(&format!("its layer {title} is a packed folder")));
    }
    let digest = layer
        .digest
        .strip_prefix(DIGEST)
        .filter(|hex| is_hex(hex, 64));
    match (digest, u64::try_from(layer.size)) {
        (Some(sha256), Ok(size)) => Ok(LockedFile {
            path: title.clone(),
            size,
            sha256: sha256.to_owned(),
        }),
        _ => Err(refused(&format!(
            "its layer {title} has no SHA-256 or no size"
        ))),
    }
}

impl<'a> Registry<'a> {
    fn new(image: &'a Image, access: &'a Access) -> Self {
        Self {
            image,
            access,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, SourceError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        choose_tls();
        let plain = self.access.setting(env::OCI_PLAIN_HTTP).unwrap_or_default();
        let plain = plain.split(',').map(|host| host.trim().to_owned());
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain.collect()),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| SourceError::Tls {
            problem: causes(&error),
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The client, with the right to read `reference`.
    async fn logged_in(&self, reference: &Reference) -> Result<&Client, SourceError> {
        let client = self.client()?;
        let login = match self.docker_login().await? {
            Some(login) => login,
            None => self.access.user().await?,
        };
        let login = match login {
            Login::Basic(user, password) => RegistryAuth::Basic(user, password),
            Login::Anonymous | Login::Bearer(_) => RegistryAuth::Anonymous,
        };
        let done = client
            .auth(reference, &login, RegistryOperation::Pull)
            .await;
        done.map_err(|error| failure(error, &reference.whole()))?;
        Ok(client)
    }

    async fn manifest(&self, reference: &Reference) -> Result<(OciManifest, String), SourceError> {
        let pull = || async {
            let client = self.logged_in(reference).await?;
            // The login is kept from before; this one is asked only if there were none.
            let pulled = client
                .pull_manifest(reference, &RegistryAuth::Anonymous)
                .await;
            pulled.map_err(|error| failure(error, &format!("oci://{}", reference.whole())))
        };
        persist(|| pull().boxed()).await
    }

    /// The login that `.dockerconfigjson` has for this registry.
    async fn docker_login(&self) -> Result<Option<Login>, SourceError> {
        let Some(text) = self.access.secret(credentials::DOCKER_CONFIG).await? else {
            return Ok(None);
        };
        login::login_to(&self.image.registry, &text).map_err(|problem| {
            SourceError::InvalidSetting {
                name: credentials::DOCKER_CONFIG.to_owned(),
                problem: problem.to_owned(),
            }
        })
    }
}

impl Layer<'_> {
    async fn ask(&self, offset: u64) -> Result<Option<Content>, SourceError> {
        let image = self.registry.image;
        let (registry, repository) = (image.registry.clone(), image.repository.clone());
        let reference = Reference::with_digest(registry, repository, self.digest.clone());
        let client = self.registry.logged_in(&reference).await?;
        let layer = self.digest.as_str();
        let (start, stream) = match offset {
            0 => (0, client.pull_blob_stream(&reference, layer).await),
            _ => {
                // Not every registry takes a range without an end.
                let rest = Some(self.size.saturating_sub(offset));
                let pulled = client.pull_blob_stream_partial(&reference, layer, offset, rest);
                match pulled.await {
                    Ok(BlobResponse::Partial(stream)) => (offset, Ok(stream)),
                    Ok(BlobResponse::Full(stream)) => (0, Ok(stream)),
                    // A refusal of the range; any other comes again without one.
                    Err(
                        OciDistributionError::ServerError { code: 416, .. }
                        | OciDistributionError::RegistryError { .. },
                    ) => return Ok(None),
                    Err(error) => (0, Err(error)),
                }
            }
        };
        let SizedStream {
            content_length,
            stream,
            ..
        } = stream.map_err(|error| failure(error, &self.what))?;
        Ok(Some(Content {
            start,
            total: content_length.map(|length| start.saturating_add(length)),
            bytes: stream
                .map(|chunk| chunk.map_err(|error| causes(&error)))
                .boxed(),
        }))
    }
}

impl Origin for Layer<'_> {
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Option<Content>, SourceError>> {
        self.ask(offset).boxed()
    }
}

fn failure(error: OciDistributionError, what: &str) -> SourceError {
    let status = match error {
        OciDistributionError::RequestError(error) => return unreachable(what, error),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => 401,
        OciDistributionError::ServerError { code, .. } => code,
        OciDistributionError::ImageManifestNotFoundError(_) => 404,
        OciDistributionError::RegistryError { envelope, .. } => {
            let code = envelope.errors.first().map(|error| status_of(&error.code));
            code.unwrap_or(400)
        }
        other => {
            let problem = causes(&other);
            let what = what.to_owned();
            return SourceError::InvalidResponse { what, problem };
        }
    };
    refusal(status, &HeaderMap::new(), what, ADVICE)
}

/// The status that goes with a registry's own word for an error.
fn status_of(code: &OciErrorCode) -> u16 {
    match code {
        OciErrorCode::Unauthorized => 401,
        OciErrorCode::Denied => 403,
        OciErrorCode::BlobUnknown
        | OciErrorCode::ManifestBlobUnknown
        | OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound => 404,
        OciErrorCode::Toomanyrequests => 429,
        _ => 400,
    }
}

fn invalid(source: &Source, problem: &str) -> SourceError {
    SourceError::InvalidResponse {
        what: source.as_str().to_owned(),
        problem: problem.to_owned(),
    }
}

/// Whether a text is `sha256:` and 64 digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix(DIGEST).is_some_and(|hex| is_hex(hex, 64))
}

/// Whether a text can be a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests;
