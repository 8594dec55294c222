//! What every store over HTTP has in common: the client, one request, and what its answer means.

use std::error::Error;
use std::sync::Once;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::access::Login;
use crate::error::SourceError;
use crate::origin::Content;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const USER_AGENT: &str = concat!("chandler/", env!("CARGO_PKG_VERSION"));

/// Chooses the process's TLS provider. Every client that is made after it uses that one.
pub(crate) fn choose_tls() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that the process has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client that trusts the system's certificates. `only_tls` holds for redirects as well.
pub(crate) fn client(read_timeout: Duration, only_tls: bool) -> Result<Client, SourceError> {
    choose_tls();
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read_timeout)
        .https_only(only_tls);
    builder.build().map_err(|error| SourceError::Tls {
        problem: causes(&error),
    })
}

/// One request for a file from a byte on.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a Url,
    pub(crate) login: &'a Login,
    pub(crate) offset: u64,
    /// The version that the file must still be of.
    pub(crate) etag: Option<&'a str>,
    /// For messages.
    pub(crate) what: &'a str,
    /// What to do about a refusal.
    pub(crate) advice: &'static str,
}

impl Ask<'_> {
    /// Answers 200, 206 and 416 come back as they are, all others as errors.
    pub(crate) async fn send(&self) -> Result<Response, SourceError> {
        let mut request = self.client.get(self.url.clone());
        request = match self.login {
            Login::Anonymous => request,
            Login::Bearer(token) => request.bearer_auth(token),
            Login::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        if self.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.offset));
        }
        if let Some(etag) = self.etag {
            request = request.header(IF_MATCH, etag);
        }
        let response = request.send().await;
        let response = response.map_err(|error| unreachable(self.what, error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if self.offset > 0 => {
                Ok(response)
            }
            status => {
                let code = status.as_u16();
                Err(refusal(code, response.headers(), self.what, self.advice))
            }
        }
    }
}

/// A file's version that stands for its bytes; a weak one does not.
pub(crate) fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = headers.get(ETAG)?.to_str().ok()?;
    is_strong(etag).then(|| etag.to_owned())
}

pub(crate) fn is_strong(etag: &str) -> bool {
    !etag.is_empty() && !etag.starts_with("W/")
}

/// The content of an answer; `None` if the store has none from the byte asked for.
pub(crate) fn content(response: Response) -> Option<Content> {
    let (start, total) = match response.status() {
        StatusCode::OK => (0, response.content_length()),
        StatusCode::PARTIAL_CONTENT => content_range(&response)?,
        _ => return None,
    };
    let bytes = response.bytes_stream();
    let bytes = bytes.map(|chunk| chunk.map_err(|error| causes(&error.without_url())));
    Some(Content {
        start,
        total,
        bytes: bytes.boxed(),
    })
}

/// First byte and total of `bytes 100-199/200`; the total may be `*`.
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some((start, total.parse().ok()))
}

/// What a status other than a success means.
pub(crate) fn refusal(
    status: u16,
    headers: &HeaderMap,
    what: &str,
    advice: &'static str,
) -> SourceError {
    let what = what.to_owned();
    match status {
        401 | 403 => SourceError::Unauthorized {
            what,
            status,
            advice,
        },
        404 | 410 => SourceError::NotFound { what },
        412 => SourceError::Changed { what },
        429 => SourceError::RateLimited {
            what,
            retry_after: headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
        },
        408 | 500..=599 => SourceError::StoreFailed { what, status },
        _ => SourceError::InvalidResponse {
            what,
            problem: format!("HTTP {status}"),
        },
    }
}

/// The address is left out: a redirect's may hold a signature.
pub(crate) fn unreachable(what: &str, error: reqwest::Error) -> SourceError {
    SourceError::Unreachable {
        what: what.to_owned(),
        problem: causes(&error.without_url()),
    }
}

/// The error with its causes: the outermost alone says only that sending failed.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
