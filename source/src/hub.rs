//! The HTTP side of a model hub.

use std::fmt;
use std::time::Duration;

use chandler_crds::names::env;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::Response;
use serde::Deserialize;
use url::Url;

use crate::access::Login;
use crate::error::SourceError;
use crate::http::{Ask, READ_TIMEOUT, client, content, unreachable};
use crate::origin::{Content, Origin};
use crate::retry::Backoff;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// What to do about a refusal.
const ADVICE: &str = "give a token that may read it, as HF_TOKEN";
/// Bytes of a repository's listing.
const MAX_LISTING: usize = 16 << 20;

/// A model hub and the right to read from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    /// Base address, `http` or `https`.
    pub endpoint: String,
    /// Bearer token.
    pub token: Option<String>,
}

impl Hub {
    /// The hub that `HF_ENDPOINT` and `HF_TOKEN` name; unset or blank means the public hub and
    /// no token.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    pub(crate) fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name| {
            lookup(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        Self {
            endpoint: get(env::HUB).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: get(env::HUB_TOKEN),
        }
    }
}

impl fmt::Debug for Hub {
    /// Leaves the token out: this ends up in logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("has_token", &self.token.is_some())
            .finish()
    }
}

/// A repository at one commit, as the hub lists it.
#[derive(Debug, Deserialize)]
pub(crate) struct Listing {
    pub(crate) sha: String,
    #[serde(default)]
    pub(crate) siblings: Vec<Sibling>,
}

/// One file in a [`Listing`].
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sibling {
    #[serde(rename = "rfilename")]
    pub(crate) path: String,
    pub(crate) size: Option<u64>,
    pub(crate) blob_id: Option<String>,
    pub(crate) lfs: Option<LargeFile>,
}

/// The part of a [`Sibling`] that only files in large-file storage have.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LargeFile {
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

/// A [`Hub`] with its connections.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    login: Login,
}

/// One file of a repository at a commit.
#[derive(Debug)]
pub(crate) struct HubFile<'a> {
    client: &'a Client,
    url: Url,
    /// For messages.
    what: String,
}

impl Origin for HubFile<'_> {
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Option<Content>, SourceError>> {
        let response = self.client.get(&self.url, offset, &self.what);
        async { Ok(content(response.await?)) }.boxed()
    }
}

impl Client {
    pub(crate) fn new(hub: &Hub) -> Result<Self, SourceError> {
        Self::with_read_timeout(hub, READ_TIMEOUT)
    }

    fn with_read_timeout(hub: &Hub, read_timeout: Duration) -> Result<Self, SourceError> {
        Ok(Self {
            http: client(read_timeout, false)?,
            endpoint: parse_endpoint(&hub.endpoint)?,
            login: hub.token.clone().map_or(Login::Anonymous, Login::Bearer),
        })
    }

    /// The files of a repository at a revision.
    pub(crate) async fn listing(&self, repo: &str, revision: &str) -> Result<Listing, SourceError> {
        let mut url = self.model_url(repo, &["revision", revision]);
        url.set_query(Some("blobs=true"));
        let what = format!("{repo} at {revision}");
        let mut backoff = Backoff::default();
        loop {
            match self.small_json(&url, &what).await {
                Ok(listing) => return Ok(listing),
                Err(SourceError::NotFound { .. }) => {
                    return Err(self.what_is_missing(repo, revision).await);
                }
                Err(error) => backoff.wait(error).await?,
            }
        }
    }

    /// Hubs answer 404 for a missing repository and for a missing revision alike; asking for
    /// the repository alone tells the two apart.
    async fn what_is_missing(&self, repo: &str, revision: &str) -> SourceError {
        match self.get(&self.model_url(repo, &[]), 0, repo).await {
            Ok(_) => SourceError::RevisionNotFound {
                origin: format!("hf://{repo}"),
                revision: revision.to_owned(),
            },
            Err(SourceError::NotFound { .. }) => SourceError::NotFound {
                what: format!("hf://{repo}"),
            },
            Err(error) => error,
        }
    }

    /// One file at a commit.
    pub(crate) fn file(&self, repo: &str, commit: &str, path: &str, what: String) -> HubFile<'_> {
        HubFile {
            client: self,
            url: self.file_url(repo, commit, path),
            what,
        }
    }

    fn file_url(&self, repo: &str, commit: &str, path: &str) -> Url {
        let mut segments: Vec<&str> = repo.split('/').collect();
        segments.extend(["resolve", commit]);
        segments.extend(path.split('/'));
        self.url(&segments)
    }

    fn model_url(&self, repo: &str, rest: &[&str]) -> Url {
        let mut segments = vec!["api", "models"];
        segments.extend(repo.split('/'));
        segments.extend(rest);
        self.url(&segments)
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    async fn get(&self, url: &Url, offset: u64, what: &str) -> Result<Response, SourceError> {
        let ask = Ask {
            client: &self.http,
            url,
            login: &self.login,
            offset,
            // A commit's files never change.
            etag: None,
            what,
            advice: ADVICE,
        };
        ask.send().await
    }

    async fn small_json<T: for<'de> Deserialize<'de>>(
        &self,
        url: &Url,
        what: &str,
    ) -> Result<T, SourceError> {
        let invalid = |problem| SourceError::InvalidResponse {
            what: what.to_owned(),
            problem,
        };
        let mut response = self.get(url, 0, what).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(what, error))?
        {
            if body.len() + chunk.len() > MAX_LISTING {
                return Err(invalid(format!("it is longer than {MAX_LISTING} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))
    }
}

fn parse_endpoint(text: &str) -> Result<Url, SourceError> {
    let invalid = |problem: String| SourceError::InvalidEndpoint {
        endpoint: text.to_owned(),
        problem,
    };
    let mut url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("its scheme is neither http nor https".into()));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_environment_names_the_hub() {
        let hub = Hub::from_lookup(|_| None);
        assert_eq!((hub.endpoint.as_str(), hub.token), (DEFAULT_ENDPOINT, None));
        let hub = Hub::from_lookup(|name| match name {
            "HF_ENDPOINT" => Some(" http://h/x ".into()),
            "HF_TOKEN" => Some("secret".into()),
            _ => None,
        });
        assert_eq!(hub.endpoint, "http://h/x");
        assert!(!format!("{hub:?}").contains("secret"));
        assert_eq!(hub.token.as_deref(), Some("secret"));
    }

    #[test]
    fn addresses_keep_the_endpoints_prefix_and_escape_what_they_are_given() {
        let client = Client::new(&Hub {
            endpoint: "http://h:1/mirror/".into(),
            token: None,
        })
        .unwrap();
        assert_eq!(
            client.model_url("o/n", &["revision", "refs/pr/1"]).as_str(),
            "http://h:1/mirror/api/models/o/n/revision/refs%2Fpr%2F1"
        );
        assert_eq!(
            client.file_url("o/n", "c0", "a/b c?.json").as_str(),
            "http://h:1/mirror/o/n/resolve/c0/a/b%20c%3F.json"
        );
    }

    #[test]
    fn an_endpoint_that_is_not_one_is_refused() {
        for endpoint in ["hub", "ftp://h/", ""] {
            let hub = Hub {
                endpoint: endpoint.into(),
                token: None,
            };
            let error = Client::new(&hub).unwrap_err();
            assert_eq!(error.reason(), "InvalidEndpoint");
            assert!(error.to_string().contains("HF_ENDPOINT"));
        }
    }

    #[tokio::test]
    async fn a_hub_that_falls_silent_is_given_up() {
        // Takes connections, by its backlog, and never answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Hub {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            token: None,
        };
        let client = Client::with_read_timeout(&hub, Duration::from_millis(20)).unwrap();
        let url = client.model_url("o/n", &[]);
        let error = client.get(&url, 0, "o/n").await.unwrap_err();
        assert_eq!(
            (error.reason(), error.is_transient()),
            ("Unreachable", true)
        );
        assert!(error.to_string().contains("timed out"), "{error}");
    }
}
