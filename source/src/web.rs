//! Models of a web server: one GGUF file, or safetensors with the files beside them.

use std::path::PathBuf;
use std::sync::OnceLock;

use chandler_crds::{LockedFile, ModelLock};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::Client;
use url::Url;

use crate::ModelDir;
use crate::access::{Access, Login};
use crate::cache::Cache;
use crate::error::SourceError;
use crate::http::{Ask, READ_TIMEOUT, client, content, strong_etag};
use crate::origin::{Content, Origin, Version};
use crate::parse::Source;
use crate::pin::Pin;
use crate::progress::Tracker;
use crate::retry::persist;
use crate::select::is_gguf;
use crate::stores::{Offered, fetch_locked, folder_of, lock_offered};

/// Beside safetensors, these must be there.
const REQUIRED: &[&str] = &["config.json", "tokenizer.json"];
/// And these are taken along where they are.
const OPTIONAL: &[&str] = &[
    "1_Pooling/config.json",
    "chat_template.jinja",
    "generation_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];
const ADVICE: &str = "give credentials with `token`, or with `username` and `password`";

/// A server, asked with the credentials as they are at the time.
struct Web<'a> {
    access: &'a Access,
    client: OnceLock<Client>,
}

struct WebFile<'a> {
    web: &'a Web<'a>,
    url: Url,
    version: Version,
}

/// Locks the file at `url` as it is now, with what describes it.
pub(crate) async fn resolve(
    source: &Source,
    url: &Url,
    revision: Option<&str>,
    access: &Access,
    cache: &Cache,
) -> Result<ModelLock, SourceError> {
    let pin = Pin::parse(source, revision)?;
    let web = Web::new(access);
    let name = name_of(url);
    let mut offered = Vec::new();
    let alone = is_gguf(name);
    let (required, optional) = match alone {
        true => (&[][..], &[][..]),
        false => (REQUIRED, OPTIONAL),
    };
    for path in [name].iter().chain(required) {
        offered.push(web.look(path, beside(url, path)).await?);
    }
    for path in optional {
        match web.look(path, beside(url, path)).await {
            Ok(file) => offered.push(file),
            Err(SourceError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let files = lock_offered(offered, cache).await?;
    pin.check(source, &files, alone)?;
    Ok(ModelLock {
        source: source.as_str().to_owned(),
        commit: None,
        files,
    })
}

/// Fetches what a lock names, wherever it is not in the cache already.
pub(crate) async fn fetch(
    lock: &ModelLock,
    url: &Url,
    access: &Access,
    cache: &Cache,
    tracker: &Tracker<'_>,
) -> Result<ModelDir, SourceError> {
    let web = Web::new(access);
    let origin = |file: &LockedFile| {
        let url = beside(url, &file.path);
        let what = url.as_str().to_owned();
        let origin = web.file(url, None);
        (what, Box::new(origin) as Box<dyn Origin + '_>)
    };
    let below: PathBuf = folder_of(lock);
    fetch_locked(lock, &origin, cache, &below, tracker).await
}

impl<'a> Web<'a> {
    fn new(access: &'a Access) -> Self {
        Self {
            access,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, SourceError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let new = client(READ_TIMEOUT, true)?;
        Ok(self.client.get_or_init(|| new))
    }

    fn file(&self, url: Url, etag: Option<String>) -> WebFile<'_> {
        WebFile {
            web: self,
            url,
            version: Version::new(etag),
        }
    }

    /// Finds out what there is at an address. The body is left alone: not every server answers a
    /// request for the head.
    async fn look(&self, path: &str, url: Url) -> Result<Offered<'_>, SourceError> {
        let file = self.file(url, None);
        let found = persist(|| file.open(0)).await?;
        let size = found.and_then(|content| content.total);
        let Some(size) = size else {
            return Err(SourceError::InvalidResponse {
                what: file.url.into(),
                problem: "it has no Content-Length, so a download could not be checked".into(),
            });
        };
        let etag = file.version.get();
        Ok(Offered {
            path: path.to_owned(),
            size,
            etag: etag.clone(),
            address: file.url.as_str().to_owned(),
            origin: Box::new(self.file(file.url, etag)),
        })
    }
}

impl WebFile<'_> {
    async fn ask(&self, offset: u64) -> Result<Option<Content>, SourceError> {
        let login: Login = self.web.access.login().await?;
        let etag = self.version.get();
        let ask = Ask {
            client: self.web.client()?,
            url: &self.url,
            login: &login,
            offset,
            etag: etag.as_deref(),
            what: self.url.as_str(),
            advice: ADVICE,
        };
        let response = ask.send().await?;
        // Not every server looks at the condition.
        let etag = strong_etag(response.headers());
        self.version.check(etag, self.url.as_str())?;
        Ok(content(response))
    }
}

impl Origin for WebFile<'_> {
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Option<Content>, SourceError>> {
        self.ask(offset).boxed()
    }
}

/// The last part of an address, as it is written there.
fn name_of(url: &Url) -> &str {
    let path = url.path();
    path.rsplit('/').next().unwrap_or(path)
}

/// The address of another file of the same folder. `path` may hold percent signs as an address
/// writes them, so it is put in as it is.
fn beside(url: &Url, path: &str) -> Url {
    let mut beside = url.clone();
    let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    beside.set_path(&format!("{folder}/{path}"));
    beside
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_beside_a_file() {
        let url = Url::parse("https://h:1/a%20b/model%20x.gguf").unwrap();
        assert_eq!(name_of(&url), "model%20x.gguf");
        assert_eq!(beside(&url, name_of(&url)), url);
        let other = beside(&url, "1_Pooling/config.json");
        assert_eq!(other.as_str(), "https://h:1/a%20b/1_Pooling/config.json");
        let root = Url::parse("https://h/m.gguf").unwrap();
        assert_eq!(beside(&root, "x").as_str(), "https://h/x");
    }
}
