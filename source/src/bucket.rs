//! Models of a bucket of an S3 service.

use std::error::Error;
use std::sync::OnceLock;

use chandler_crds::names::env;
use chandler_crds::{LockedFile, ModelLock};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::HttpError;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, RetryConfig};

use crate::ModelDir;
use crate::access::{Access, incomplete};
use crate::bucket_http::{Connector, Refused};
use crate::cache::Cache;
use crate::error::SourceError;
use crate::http::{READ_TIMEOUT, causes, client, is_strong, refusal};
use crate::origin::{Content, Origin, Version};
use crate::parse::Source;
use crate::pin::Pin;
use crate::progress::Tracker;
use crate::retry::persist;
use crate::select::{is_weights, select};
use crate::stores::{Offered, fetch_locked, folder_of, lock_offered};

/// Objects looked at below a prefix.
const MAX_OBJECTS: usize = 10_000;
const DEFAULT_REGION: &str = "us-east-1";
const ADVICE: &str =
    "give credentials with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that may list and read it";
const ENDPOINT_ADVICE: &str = "it is not encrypted: write https://, or set AWS_ALLOW_HTTP=true";

/// A bucket, connected to when something is asked of it.
struct Bucket<'a> {
    name: &'a str,
    access: &'a Access,
    store: OnceLock<AmazonS3>,
}

struct BucketFile<'a> {
    bucket: &'a Bucket<'a>,
    key: String,
    version: Version,
}

/// Locks the objects at `key` as they are now.
pub(crate) async fn resolve(
    source: &Source,
    (name, key): (&str, &str),
    revision: Option<&str>,
    access: &Access,
    cache: &Cache,
) -> Result<ModelLock, SourceError> {
    let pin = Pin::parse(source, revision)?;
    let bucket = Bucket::new(name, access);
    let (folder, file) = split(key);
    let objects = persist(|| bucket.list(folder).boxed()).await?;
    if objects.is_empty() {
        let what = source.as_str().to_owned();
        return Err(SourceError::NotFound { what });
    }
    let named = |object: ObjectMeta| (below(folder, object.location.as_ref()), object);
    let objects: Vec<(String, ObjectMeta)> = objects.into_iter().map(named).collect();
    let paths: Vec<&str> = objects.iter().map(|(path, _)| path.as_str()).collect();
    let chosen = select(source.as_str(), &paths, file)?;
    let wanted = objects
        .iter()
        .filter(|(path, _)| chosen.contains(&path.as_str()));
    let offered = wanted
        .map(|(path, object)| bucket.offer(path, object))
        .collect();
    let files = lock_offered(offered, cache).await?;
    pin.check(source, &files, file.is_some())?;
    Ok(ModelLock {
        source: source.as_str().to_owned(),
        commit: None,
        files,
    })
}

/// Fetches what a lock names, wherever it is not in the cache already.
pub(crate) async fn fetch(
    lock: &ModelLock,
    (name, key): (&str, &str),
    access: &Access,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    let bucket = Bucket::new(name, access);
    let (folder, _) = split(key);
    let origin = |file: &LockedFile| {
        let key = match folder {
            "" => file.path.clone(),
            folder => format!("{folder}/{}", file.path),
        };
        let origin = bucket.file(key, None);
        (origin.what(), Box::new(origin) as Box<dyn Origin + '_>)
    };
    fetch_locked(lock, &origin, cache, &folder_of(lock), tracker).await
}

impl<'a> Bucket<'a> {
    fn new(name: &'a str, access: &'a Access) -> Self {
        Self {
            name,
            access,
            store: OnceLock::new(),
        }
    }

    fn file(&self, key: String, etag: Option<String>) -> BucketFile<'_> {
        BucketFile {
            bucket: self,
            key,
            version: Version::new(etag),
        }
    }

    fn offer(&self, path: &str, object: &ObjectMeta) -> Offered<'_> {
        let etag = object.e_tag.clone().filter(|etag| is_strong(etag));
        let file = self.file(object.location.to_string(), etag.clone());
        Offered {
            path: path.to_owned(),
            size: object.size,
            etag,
            address: file.what(),
            origin: Box::new(file),
        }
    }

    async fn store(&self) -> Result<&AmazonS3, SourceError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = self.connect().await?;
        Ok(self.store.get_or_init(|| store))
    }

    async fn connect(&self) -> Result<AmazonS3, SourceError> {
        let access = self.access;
        let plain = access.setting(env::AWS_ALLOW_HTTP).is_some_and(is_true);
        let region = access.secret(env::AWS_REGION).await?;
        let connector = Connector(client(READ_TIMEOUT, !plain)?);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(self.name)
            .with_region(region.unwrap_or_else(|| DEFAULT_REGION.to_owned()))
            .with_allow_http(plain)
            .with_http_connector(connector)
            // Whether to try again is decided here, for all stores alike.
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = access.secret(env::AWS_ENDPOINT).await? {
            if endpoint.starts_with("http://") && !plain {
                return Err(SourceError::InvalidSetting {
                    name: env::AWS_ENDPOINT.to_owned(),
                    problem: ENDPOINT_ADVICE.to_owned(),
                });
            }
            builder = builder.with_endpoint(endpoint);
        }
        let builder = self.sign(builder).await?;
        builder
            .build()
            .map_err(|error| SourceError::InvalidSetting {
                name: env::AWS_ENDPOINT.to_owned(),
                problem: causes(&error),
            })
    }

    /// Without keys, requests go out unsigned, as public buckets take them.
    async fn sign(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder, SourceError> {
        let key = self.access.secret(env::AWS_ACCESS_KEY).await?;
        let secret = self.access.secret(env::AWS_SECRET_KEY).await?;
        let (key, secret) = match (key, secret) {
            (Some(key), Some(secret)) => (key, secret),
            (None, None) => return Ok(builder.with_skip_signature(true)),
            (Some(_), None) => return Err(incomplete(env::AWS_SECRET_KEY, env::AWS_ACCESS_KEY)),
            (None, Some(_)) => return Err(incomplete(env::AWS_ACCESS_KEY, env::AWS_SECRET_KEY)),
        };
        let builder = builder
            .with_access_key_id(key)
            .with_secret_access_key(secret);
        Ok(match self.access.secret(env::AWS_SESSION_TOKEN).await? {
            Some(token) => builder.with_token(token),
            None => builder,
        })
    }

    /// The objects below a folder; an empty name stands for the whole bucket.
    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, SourceError> {
        let what = format!("s3://{}/{folder}", self.name);
        let failed = |error| failure(&error, &what);
        let prefix = Key::parse(folder).map_err(|error| failed(error.into()))?;
        let prefix = (!folder.is_empty()).then_some(&prefix);
        let objects = self.store().await?.list(prefix).take(MAX_OBJECTS + 1);
        let objects: Vec<ObjectMeta> = objects.try_collect().await.map_err(failed)?;
        if objects.len() > MAX_OBJECTS {
            return Err(SourceError::InvalidResponse {
                what,
                problem: format!("over {MAX_OBJECTS} objects; is this one model?"),
            });
        }
        // Consoles make folders as empty objects of the folder's own name.
        let is_file = |object: &ObjectMeta| object.location.as_ref() != folder;
        Ok(objects.into_iter().filter(is_file).collect())
    }
}

impl BucketFile<'_> {
    fn what(&self) -> String {
        format!("s3://{}/{}", self.bucket.name, self.key)
    }

    async fn ask(&self, offset: u64) -> Result<Option<Content>, SourceError> {
        let what = self.what();
        let key = Key::parse(&self.key).map_err(|error| failure(&error.into(), &what))?;
        let options = GetOptions {
            if_match: self.version.get(),
            range: (offset > 0).then_some(GetRange::Offset(offset)),
            ..GetOptions::default()
        };
        let found = match self.bucket.store().await?.get_opts(&key, options).await {
            Ok(found) => found,
            Err(error) if refused(&error).is_some_and(|refused| refused.status == 416) => {
                return Ok(None);
            }
            Err(error) => return Err(failure(&error, &what)),
        };
        let etag = found.meta.e_tag.clone().filter(|etag| is_strong(etag));
        self.version.check(etag, &what)?;
        Ok(Some(Content {
            start: found.range.start,
            total: Some(found.meta.size),
            bytes: found
                .into_stream()
                .map(|chunk| chunk.map_err(|error| causes(&error)))
                .boxed(),
        }))
    }
}

impl Origin for BucketFile<'_> {
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Option<Content>, SourceError>> {
        self.ask(offset).boxed()
    }
}

/// The folder of a key, and the file's name if the key is one of weights.
fn split(key: &str) -> (&str, Option<&str>) {
    match is_weights(key) {
        false => (key, None),
        true => match key.rsplit_once('/') {
            Some((folder, name)) => (folder, Some(name)),
            None => ("", Some(key)),
        },
    }
}

fn below(folder: &str, key: &str) -> String {
    let rest = key.strip_prefix(folder).unwrap_or(key);
    rest.strip_prefix('/').unwrap_or(rest).to_owned()
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true" | "True" | "TRUE")
}

/// The answer that an error is about, if there was one.
fn refused(error: &object_store::Error) -> Option<&Refused> {
    cause(error)
}

fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn failure(error: &object_store::Error, what: &str) -> SourceError {
    let what = what.to_owned();
    if let Some(refused) = refused(error) {
        let named = match &refused.code {
            Some(code) => format!("{what} ({code})"),
            None => what,
        };
        return refusal(refused.status, &refused.headers, &named, ADVICE);
    }
    if let Some(error) = cause::<HttpError>(error) {
        let problem = causes(error);
        return SourceError::Unreachable { what, problem };
    }
    let problem = causes(error);
    SourceError::InvalidResponse { what, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_weights_names_a_file_of_its_folder() {
        assert_eq!(split("a/b"), ("a/b", None));
        assert_eq!(split("a/b.gguf"), ("a", Some("b.gguf")));
        assert_eq!(split("b.safetensors"), ("", Some("b.safetensors")));
        assert_eq!(split(""), ("", None));
        assert_eq!(below("a", "a/1_Pooling/x"), "1_Pooling/x");
        assert_eq!(below("", "x"), "x");
    }
}
